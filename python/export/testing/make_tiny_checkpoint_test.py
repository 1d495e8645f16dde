"""The tiny checkpoint's tokenizer is one that Hugging Face and our own reader take alike."""

import json
from pathlib import Path

import pytest
import tokenizers

from python.console.errors import UsageError
from python.export.testing.make_tiny_checkpoint import (
    CHAT_TEMPLATE,
    VOCABULARY,
    tiny_config,
    tokenizer_json,
)
from python.text import chat_templates
from python.text.hugging_face_tokenizer import tokenizer_from_json


def test_hugging_face_reads_it() -> None:
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(VOCABULARY)))
    assert tokenizer.get_vocab_size() == VOCABULARY
    text = "the capital of France is Paris \u00e9\n"
    encoded = tokenizer.encode(text)
    assert encoded.tokens[:3] == ["<bos>", "the", "\u2581capital"]
    assert "<0xC3>" in encoded.tokens
    assert tokenizer.decode(encoded.ids) == text


def test_our_reader_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tokenizer_json(VOCABULARY)))
    data = tokenizer_from_json(path)
    config = tiny_config()
    assert (data.bos_id, data.add_bos) == (config.bos_id, True)
    assert [data.pieces[token] for token in config.stop_ids] == ["<eos>", "<turn|>"]
    assert chat_templates.identify(CHAT_TEMPLATE) == "gemma4"


def test_a_vocabulary_that_is_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="a vocabulary of 100 is too small"):
        tokenizer_json(100)
