"""Tests of the texts: what calibration sees is not judged."""

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from python.console.errors import UsageError
from python.evaluate import texts
from python.text.text_tokenizer import TextTokenizer

_BOS = 256


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    """A token for every byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: token for token, letter in enumerate(alphabet)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return TextTokenizer(tokenizer)


def test_nothing_that_is_judged_was_calibrated_with(tokenizer: TextTokenizer) -> None:
    judged = texts.judged_texts(tokenizer, _BOS, 8192)
    calibration = texts.calibration_text(tokenizer, _BOS, 16_384)
    assert calibration.tokens.shape == (64, 256)
    assert len(calibration.sha256) == 64
    assert list(judged) == ["documentation", "sampled"]
    seen = set(map(tuple, calibration.tokens.tolist()))
    assert len(seen) == 64
    for tokens in judged.values():
        assert tokens.shape == (32, 256)
        assert tokens[:, 0].eq(_BOS).all()
        rows = set(map(tuple, tokens.tolist()))
        assert len(rows) == 32
        assert not rows & seen


def test_fewer_tokens_are_the_first_of_more(tokenizer: TextTokenizer) -> None:
    few, more = (texts.judged_texts(tokenizer, _BOS, tokens) for tokens in (512, 1024))
    for name, tokens in few.items():
        assert tokens.equal(more[name][:2])


def test_more_than_there_is(tokenizer: TextTokenizer) -> None:
    with pytest.raises(UsageError, match=r"20480 tokens of text 'sampled' were asked, it has \d+"):
        texts.calibration_text(tokenizer, _BOS, 81_920)
    with pytest.raises(UsageError, match="255 tokens of text 'documentation' were asked"):
        texts.judged_texts(tokenizer, _BOS, 255)
