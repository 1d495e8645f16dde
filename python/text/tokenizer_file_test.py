"""tokenizer.bin as bytes, and fitting a tokenizer to a model."""

import pytest

from python.console.errors import FormatError
from python.text.gguf_tokenizer import tokenizer_from_gguf
from python.text.testing.tiny_tokenizer import tiny_gguf
from python.text.tokenizer_data import PieceKind
from python.text.tokenizer_file import serialize


def test_equal_data_gives_equal_bytes() -> None:
    first, second = (serialize(tokenizer_from_gguf(tiny_gguf("gemma4"))) for _ in range(2))
    assert first == second
    assert first[4:8] == b"GTOK"
    assert len(first) % 4 == 0


def test_fitting_drops_special_pieces_and_adds_unused_ones() -> None:
    data = tokenizer_from_gguf(tiny_gguf("gemma4"))
    metadata = tiny_gguf("gemma4")
    metadata["tokenizer.ggml.tokens"].append("<|image>")
    metadata["tokenizer.ggml.token_type"].append(3)
    longer = tokenizer_from_gguf(metadata)
    assert longer.fitted_to(len(data.pieces)).pieces == data.pieces
    padded = data.fitted_to(300)
    assert (len(padded.pieces), padded.kinds[-1]) == (300, PieceKind.UNUSED)
    assert padded.merges.tolist() == data.merges.tolist()
    assert serialize(data.fitted_to(len(data.pieces))) == serialize(data)


def test_pieces_that_text_needs_are_not_dropped() -> None:
    with pytest.raises(FormatError, match="piece 260 '\u2581' cannot be left out"):
        tokenizer_from_gguf(tiny_gguf("gemma4")).fitted_to(260)
