"""Tests of sha256."""

from pathlib import Path

import pytest

from python.artifact import sha256
from python.console.errors import FormatError

_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def test_digest_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    sizes: list[int] = []
    assert sha256.sha256_of_file(path, sizes.append) == _ABC
    assert sizes == [3]
    sha256.check_file(path, 3, _ABC)


def test_wrong_size_and_wrong_digest(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with pytest.raises(FormatError, match="has 3 bytes, 4 were promised"):
        sha256.check_file(path, 4, _ABC)
    path.write_bytes(b"abd")
    with pytest.raises(FormatError, match=f"has sha256 .*, {_ABC} was promised"):
        sha256.check_file(path, 3, _ABC)


def test_what_a_digest_looks_like() -> None:
    assert sha256.is_digest(_ABC)
    assert not sha256.is_digest(_ABC.upper())
    assert not sha256.is_digest(_ABC + "\n")
    assert not sha256.is_digest(None)
