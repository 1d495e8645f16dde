"""pytest_test runs pytest's kinds of tests, skips visibly, and gives tests a scratch folder."""

import os
import pathlib

import pytest


@pytest.mark.parametrize("number", [1, 2, 3])
def test_parameters(number: int) -> None:
    assert number


def test_scratch_is_bazels(tmp_path: pathlib.Path) -> None:
    assert str(tmp_path).startswith(os.environ["TEST_TMPDIR"])


def test_hash_seed_is_fixed() -> None:
    assert os.environ["PYTHONHASHSEED"] == "0"


@pytest.mark.skip(reason="shows that a skipped test is counted as one")
def test_skipped() -> None:
    raise AssertionError
