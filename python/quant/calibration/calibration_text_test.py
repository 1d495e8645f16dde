"""Tests of reading a calibration text."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from python.checkpoint.checkpoint import HuggingFaceTokenizer
from python.console.errors import UserError
from python.quant.calibration.calibration_text import read_calibration_text, sequences_of
from python.text.testing import tiny_tokenizer


@pytest.fixture
def tokenizer(tmp_path: Path) -> HuggingFaceTokenizer:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tiny_tokenizer.tiny_json()))
    return HuggingFaceTokenizer(path=path, config={})


def test_whole_sequences_begun_by_bos() -> None:
    tokens = sequences_of(list(range(10, 30)), 2, 8, 100)
    assert tokens.tolist() == [[2, *range(10, 17)], [2, *range(17, 24)]]
    assert sequences_of(list(range(10, 30)), 2, 8, 15).shape == (1, 8)
    assert sequences_of(list(range(16)), None, 8, 100).tolist() == [
        [*range(8)], [*range(8, 16)]
    ]  # fmt: skip
    assert sequences_of([1, 2], 2, 8, 100).shape == (0, 8)


def test_a_text_and_who_it_is(tmp_path: Path, tokenizer: HuggingFaceTokenizer) -> None:
    path = tmp_path / "text.txt"
    path.write_text("ab" * 1100)
    text = read_calibration_text(path, tokenizer, 2)
    assert text.tokens.shape == (2, 512)
    assert text.tokens.dtype == torch.int64
    assert text.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert text.identity() == f"{text.sha256}, 2 sequences of 512 tokens"
    assert read_calibration_text(path, tokenizer, 2, max_tokens=600).tokens.shape == (1, 512)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no such calibration text"),
        (b"ab", "has 1 tokens, a calibration text needs at least 512"),
        (b"abc\xff", r"is no UTF-8 text \(byte 3\)"),
    ],
)
def test_texts_that_are_refused(
    tmp_path: Path, tokenizer: HuggingFaceTokenizer, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read_calibration_text(path, tokenizer, 2)


def test_a_checkpoint_without_a_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("ab")
    with pytest.raises(UserError, match="the checkpoint has no tokenizer"):
        read_calibration_text(path, None, 2)
