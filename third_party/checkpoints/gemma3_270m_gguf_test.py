"""The packaged checkpoint is there under its labels, and its licence comes with it."""

import os
import pathlib


def runfile(variable: str) -> pathlib.Path:
    return pathlib.Path(os.environ["TEST_SRCDIR"], os.environ[variable])


def test_is_gguf() -> None:
    with runfile("MODEL").open("rb") as file:
        assert file.read(4) == b"GGUF"
    assert runfile("MODEL").stat().st_size == 253_113_024


def test_licence_is_there() -> None:
    assert "Gemma Terms of Use" in runfile("TERMS").read_text()
