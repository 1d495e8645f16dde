"""SHA-256 of files, streamed: of a whole file, of its sections, and the check of a promised digest."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from python.console.errors import FormatError

_CHUNK_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: object) -> bool:
    """Whether `text` is a SHA-256 in 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Sections:
    """The digests of a file's sections: `bytes` each, the last one what is left."""

    bytes: int
    sha256: tuple[str, ...]


def count_sections(file_bytes: int, section_bytes: int) -> int:
    """How many sections a file has; none if it is empty."""
    return -(-file_bytes // section_bytes)


class SectionDigest:
    """The digests of bytes that come one after another: of all of them, and of each section."""

    def __init__(self, section_bytes: int) -> None:
        self._section_bytes = section_bytes
        self._whole = hashlib.sha256()
        self._section = hashlib.sha256()
        self._left = section_bytes  # until the section is full
        self._done: list[str] = []

    def update(self, data: bytes | memoryview) -> None:
        self._whole.update(data)
        view = memoryview(data).cast("B")
        while len(view) >= self._left:
            self._section.update(view[: self._left])
            view = view[self._left :]
            self._done.append(self._section.hexdigest())
            self._section = hashlib.sha256()
            self._left = self._section_bytes
        self._section.update(view)
        self._left -= len(view)

    @property
    def whole(self) -> str:
        return self._whole.hexdigest()

    @property
    def sections(self) -> Sections:
        partial = self._left < self._section_bytes
        last = (self._section.hexdigest(),) if partial else ()
        return Sections(bytes=self._section_bytes, sha256=(*self._done, *last))


def check_sections(path: Path, promised: Sections) -> None:
    """Raises FormatError at the first section that has another digest."""
    with open(path, "rb") as file:
        for index, digest in enumerate(promised.sha256):
            begin = index * promised.bytes
            section, left = hashlib.sha256(), promised.bytes
            while chunk := file.read(min(_CHUNK_BYTES, left)):
                section.update(chunk)
                left -= len(chunk)
            if section.hexdigest() != digest:
                raise FormatError(
                    path,
                    f"bytes {begin} to {begin + promised.bytes - left} have sha256"
                    f" {section.hexdigest()}, {digest} was promised; fetch or make it again",
                )


def sha256_of_file(path: Path, report: Callable[[int], None] | None = None) -> str:
    """The digest in hexadecimal; `report` is called with the size of every chunk that was read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            if report is not None:
                report(len(chunk))
    return digest.hexdigest()


def check_file(
    path: Path, size: int, digest: str, report: Callable[[int], None] | None = None
) -> None:
    """Raises FormatError unless the file has this size (looked at first) and this digest."""
    actual_size = path.stat().st_size
    if actual_size != size:
        raise FormatError(
            path, f"has {actual_size} bytes, {size} were promised; fetch or make it again"
        )
    actual = sha256_of_file(path, report)
    if actual != digest:
        raise FormatError(
            path, f"has sha256 {actual}, {digest} was promised; fetch or make it again"
        )
