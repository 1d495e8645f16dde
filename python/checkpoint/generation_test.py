"""Tests of what a GGUF says of sampling; checkpoint_test.py has the rest."""

from pathlib import Path
from typing import Any

import pytest

from python.checkpoint.generation import from_gguf
from python.console.errors import FormatError

_WHERE = Path("a.gguf")


def test_what_the_file_states_counts() -> None:
    stated = {
        "general.sampling.temp": 0.699999988079071, "general.sampling.top_k": 40,
        "general.sampling.top_p": 0.949999988079071, "general.sampling.min_p": 0.0,
    }  # fmt: skip
    for architecture in ("gemma3", "gemma4"):
        found = from_gguf(architecture, stated, (), _WHERE)
        assert (found.temperature, found.top_k, found.top_p, found.notes) == (0.7, 40, 0.95, ())


def test_one_stated_key_leaves_the_others_off() -> None:
    found = from_gguf("gemma4", {"general.sampling.top_k": 5}, (), _WHERE)
    assert (found.temperature, found.top_k, found.top_p, found.notes) == (1.0, 5, 1.0, ())


def test_the_model_card_stands_where_gemma_4_says_nothing() -> None:
    found = from_gguf("gemma4", {}, (), _WHERE)
    assert (found.temperature, found.top_k, found.top_p) == (1.0, 64, 0.95)
    assert found.notes == (
        "a.gguf says nothing of sampling; the model card's values stand: temperature 1, top_k 64,"
        " top_p 0.95",
    )
    plain = from_gguf("gemma3", {}, (), _WHERE)
    assert (plain.temperature, plain.top_k, plain.top_p, plain.notes) == (1.0, 0, 1.0, ())


def test_what_an_artifact_has_no_place_for_is_said() -> None:
    stated = {"general.sampling.min_p": 0.05, "general.sampling.penalty_repeat": 1.0}
    (note,) = from_gguf("gemma3", stated, (), _WHERE).notes
    assert note.startswith("a.gguf: general.sampling.min_p = 0.05 is not taken over")


@pytest.mark.parametrize(
    ("key", "value"),
    [("temp", -1.0), ("temp", float("nan")), ("top_k", 2.5), ("top_k", -1), ("top_p", 1.5),
     ("top_p", "all"), ("temp", True)],
)  # fmt: skip
def test_wrong_values(key: str, value: Any) -> None:
    with pytest.raises(FormatError, match=f"general.sampling.{key} is .* must be a number from 0"):
        from_gguf("gemma4", {f"general.sampling.{key}": value}, (), _WHERE)
