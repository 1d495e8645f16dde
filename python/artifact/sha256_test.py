"""Tests of sha256."""

import hashlib
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


@pytest.mark.parametrize("size", [0, 1, 4, 5, 8, 11, 12])
@pytest.mark.parametrize("step", [1, 3, 4, 20])
def test_sections(tmp_path: Path, size: int, step: int) -> None:
    data = bytes(range(1, size + 1))
    digest = sha256.SectionDigest(4)
    for begin in range(0, size, step):
        digest.update(memoryview(data)[begin : begin + step])
    expected = [hashlib.sha256(data[i : i + 4]).hexdigest() for i in range(0, size, 4)]
    assert digest.whole == hashlib.sha256(data).hexdigest()
    assert digest.sections == sha256.Sections(bytes=4, sha256=tuple(expected))
    assert sha256.count_sections(size, 4) == len(expected)
    path = tmp_path / "a"
    path.write_bytes(data)
    sha256.check_sections(path, digest.sections)


def test_a_wrong_section_is_named(tmp_path: Path) -> None:
    digest = sha256.SectionDigest(4)
    digest.update(b"abcdefghij")
    path = tmp_path / "a"
    path.write_bytes(b"abcdefghiJ")
    promised = digest.sections.sha256[2]
    with pytest.raises(FormatError, match=f"bytes 8 to 10 have sha256 .*, {promised} was promised"):
        sha256.check_sections(path, digest.sections)


def test_what_a_digest_looks_like() -> None:
    assert sha256.is_digest(_ABC)
    assert not sha256.is_digest(_ABC.upper())
    assert not sha256.is_digest(_ABC + "\n")
    assert not sha256.is_digest(None)
