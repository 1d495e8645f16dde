"""SHA-256 of files, streamed, and the check of a file against a promised size and digest."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from python.console.errors import FormatError

_CHUNK_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: object) -> bool:
    """Whether `text` is a SHA-256 in 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


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
    """Raises FormatError unless the file has this size (looked at first, it costs nothing) and this
    digest.
    """
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
