"""GGUF metadata: what is read, and that what is damaged or not supported is refused by name."""

from typing import Any

import numpy as np
import pytest

from python.console.errors import FormatError
from python.text.gguf_tokenizer import tokenizer_from_gguf
from python.text.testing.tiny_tokenizer import tiny_gguf
from python.text.tokenizer_data import SPACE, PieceKind

A, B, AB, SPACES, ONE_SPACE, BOS = range(256, 262)


def test_gemma3_merges_come_from_scores() -> None:
    data = tokenizer_from_gguf(tiny_gguf("llama"))
    assert data.pieces[SPACES] == SPACE * 2
    # The file says -1000 for the user-defined piece, but it is made before all others.
    assert data.merges.tolist() == [[ONE_SPACE, ONE_SPACE, SPACES], [A, B, AB]]
    assert (data.bos_id, data.add_bos) == (BOS, True)


def test_gemma4_merges_are_listed() -> None:
    data = tokenizer_from_gguf(tiny_gguf("gemma4"))
    assert data.merges.tolist() == [[ONE_SPACE, ONE_SPACE, SPACES], [A, B, AB]]
    assert data.kinds[SPACES] == PieceKind.USER


def test_arrays_of_numpy_are_read_too() -> None:
    metadata = tiny_gguf("llama")
    for key in ("scores", "token_type"):
        metadata[f"tokenizer.ggml.{key}"] = np.array(metadata[f"tokenizer.ggml.{key}"])
    assert len(tokenizer_from_gguf(metadata).merges) == 2


@pytest.mark.parametrize("marker", ["<|channel>", "<channel|>", '<|"|>', "<|tool_call>"])
def test_markers_that_are_user_defined_become_special(marker: str) -> None:
    metadata = tiny_gguf("gemma4")
    metadata["tokenizer.ggml.tokens"].append(marker)
    metadata["tokenizer.ggml.token_type"].append(4)
    data = tokenizer_from_gguf(metadata)
    assert data.kinds[-1] == PieceKind.CONTROL


def test_bos_is_left_out_when_the_file_says_so() -> None:
    metadata = tiny_gguf("gemma4") | {"tokenizer.ggml.add_bos_token": False}
    assert tokenizer_from_gguf(metadata).add_bos is False


REFUSED: list[tuple[str, Any, str]] = [
    ("model", "gpt2", "model 'gpt2' is not supported"),
    ("model", None, "model is missing"),
    ("pre", "llama3", "pre 'llama3' is not supported"),
    ("add_space_prefix", True, "add_space_prefix is true or missing"),
    ("add_space_prefix", None, "add_space_prefix is true or missing"),
    ("remove_extra_whitespaces", True, "remove_extra_whitespaces is true"),
    ("precompiled_charsmap", [1, 2], "precompiled_charsmap is there"),
    ("tokens", None, "tokens is missing"),
    ("tokens", "abc", "tokens is not an array"),
    ("tokens", [1], "the element 1, which is of the wrong type"),
    ("token_type", [1, 2], "token_type has 2 elements for 262 tokens"),
    ("token_type", [6] * 256 + [1, 1, 1, 4, 1, 7], "token_type has the element 7"),
    ("scores", [1.0], "scores has 1 elements for 262 tokens"),
    ("scores", [float("nan")] * 262, "scores has an element that is not finite"),
    ("scores", None, "scores is missing"),
    ("bos_token_id", 262, "bos_token_id is 262, not an id of the 262 tokens"),
    ("bos_token_id", -1, "bos_token_id is -1"),
    ("bos_token_id", 256, "BOS token 256 is not a special token"),
    ("add_bos_token", 1, "add_bos_token is 1, not true or false"),
    ("merges", ["a"], "merge 0 needs the piece ''"),
    ("merges", ["a a"], "merge 0 needs the piece 'aa'"),
    ("merges", ["a b", "a b"], "a pair of pieces is merged in two ways"),
]


@pytest.mark.parametrize(("key", "value", "sentence"), REFUSED)
def test_what_is_wrong_is_named(key: str, value: Any, sentence: str) -> None:
    metadata = tiny_gguf("llama")
    metadata[f"tokenizer.ggml.{key}"] = value
    with pytest.raises(FormatError, match=sentence):
        tokenizer_from_gguf(metadata)


@pytest.mark.parametrize(
    ("token", "piece", "sentence"),
    [
        (0, "<0x-1>", "byte piece '<0x-1>' is not spelled"),
        (0, "<0xZZ>", "byte piece '<0xZZ>' is not spelled"),
        (0, "<0x01>", "byte piece '<0x01>' is not spelled <0xHH>, or occurs twice"),
        (A, "", "piece 256 is empty"),
        (A, "b", "pieces 256 and 257 are both spelled 'b'"),
        (A, "\ud800", "lone surrogate"),
        (
            A,
            "x" * (17 << 20),
            "tokens has a piece of 17825792 characters .token 256., more than 256",
        ),
    ],
)
def test_pieces_that_cannot_be_are_refused(token: int, piece: str, sentence: str) -> None:
    metadata = tiny_gguf("llama")
    metadata["tokenizer.ggml.tokens"][token] = piece
    with pytest.raises(FormatError, match=sentence):
        tokenizer_from_gguf(metadata)


@pytest.mark.parametrize(
    ("token", "size", "sentence"),
    [
        (BOS, 1025, "special piece 261 has 1025 bytes, more than 1024"),
        (ONE_SPACE, 17 << 20, "more than the 16777216 allowed"),
    ],
)
def test_pieces_that_are_too_long_are_refused(token: int, size: int, sentence: str) -> None:
    metadata = tiny_gguf("gemma4")
    metadata["tokenizer.ggml.tokens"][token] = "x" * size
    metadata["tokenizer.ggml.merges"] = []
    with pytest.raises(FormatError, match=sentence):
        tokenizer_from_gguf(metadata)
