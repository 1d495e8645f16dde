"""Writes a `.ptd` (ExecuTorch's FlatTensor format) blob by blob, never holding more than one.

    magic, root offset | header | flatbuffer (keys, offsets, sizes) | segments, aligned to 128

The sizes of all blobs are known from the plan, so the index is written first,
and the blobs follow as they are packed.
What must stay true: the file is byte for byte what ExecuTorch's own serializer would write
for the same named blobs, and a file that `finish` did not complete is never taken
for a whole one (the caller removes it).
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
import pathlib
import struct
from collections.abc import Sequence
from typing import BinaryIO

from python.artifact.sha256 import SectionDigest, Sections
from python.console.errors import UserError
from python.plan import flatc

ALIGNMENT = 128
SECTION_BYTES = 64 << 20  # what a thread of the runner reads and hashes at a time
_VERSION = 0  # of the FlatTensor schema
_PREFIX = 8  # the flatbuffer's root offset and file identifier, before the header
# Magic, bytes of the header; offset and size of the flatbuffer; offset and size of the segments.
_HEADER = struct.Struct("<4sIQQQQ")
_HEADER_BYTES = 48  # the header, aligned to 16


class PtdError(UserError):
    """Blobs that do not fit the index that was announced. One sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blob:
    """A named run of bytes in the file."""

    key: str
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """What the finished file is."""

    bytes: int
    sha256: str
    sections: Sections


class PtdWriter:
    """Writes the announced blobs in their order. Use: `begin`, `write` for each blob, `finish`."""

    def __init__(self, file: BinaryIO, blobs: Sequence[Blob]) -> None:
        self._file = file
        self._blobs = list(blobs)
        self._next = 0
        self._offset = 0
        self._digest = SectionDigest(SECTION_BYTES)

    def begin(self) -> None:
        """Writes the header and the index."""
        self._emit(_index(self._blobs))

    def write(self, key: str, data: bytes | memoryview) -> None:
        """Writes the next blob.

        Raises:
          PtdError: the key is not the next announced one, or the data has another size.
        """
        if self._next == len(self._blobs):
            raise PtdError(f"{key}: all {len(self._blobs)} blobs are written already")
        blob, view = self._blobs[self._next], memoryview(data).cast("B")
        if blob.key != key:
            raise PtdError(f"{key}: the next blob is {blob.key}")
        if len(view) != blob.bytes:
            raise PtdError(f"{key}: {len(view)} bytes, but {blob.bytes} were announced")
        self._emit(b"\0" * (-self._offset % ALIGNMENT))
        self._emit(view)
        self._next += 1

    def finish(self) -> Written:
        """Flushes the file to the disk; returns its size and digests.

        Raises:
          PtdError: an announced blob is missing.
        """
        if self._next != len(self._blobs):
            raise PtdError(f"{self._blobs[self._next].key} was not written")
        self._file.flush()
        os.fsync(self._file.fileno())
        return Written(
            bytes=self._offset, sha256=self._digest.whole, sections=self._digest.sections
        )

    def _emit(self, data: memoryview | bytes) -> None:
        if not data:
            return  # to posix_fadvise nothing would mean all the rest
        self._file.write(data)
        # Linux begins to write these bytes to the disk here, which it would put off for seconds.
        os.posix_fadvise(self._file.fileno(), self._offset, len(data), os.POSIX_FADV_DONTNEED)
        self._digest.update(data)
        self._offset += len(data)


def file_bytes(blobs: Sequence[Blob]) -> int:
    """Size of the whole file, without writing it."""
    offsets = _segment_offsets(blobs)
    return len(_index(blobs)) + (offsets[-1] + blobs[-1].bytes if blobs else 0)


def _segment_offsets(blobs: Sequence[Blob]) -> list[int]:
    offsets, end = [], 0
    for blob in blobs:
        start = _align(end, ALIGNMENT)
        offsets.append(start)
        end = start + blob.bytes
    return offsets


def _index(blobs: Sequence[Blob]) -> bytes:
    """All that precedes the first segment."""
    if len({blob.key for blob in blobs}) != len(blobs):
        raise PtdError("two blobs have the same key")
    offsets = _segment_offsets(blobs)
    buffer = flatc.json_to_bytes(_schemas(), _flat_tensor(blobs, offsets))
    base = _align(_HEADER_BYTES + len(buffer), ALIGNMENT)
    segments = offsets[-1] + blobs[-1].bytes if blobs else 0
    header = _HEADER.pack(b"FH01", _HEADER.size, _HEADER_BYTES, len(buffer), base, segments)
    root = int.from_bytes(buffer[:4], "little") + _HEADER_BYTES
    prefix = root.to_bytes(4, "little") + buffer[4:_PREFIX]
    return (prefix + header.ljust(_HEADER_BYTES, b"\0") + buffer[_PREFIX:]).ljust(base, b"\0")


def _flat_tensor(blobs: Sequence[Blob], offsets: Sequence[int]) -> dict[str, object]:
    return {
        "version": _VERSION,
        "segments": [
            {"offset": offset, "size": blob.bytes}
            for offset, blob in zip(offsets, blobs, strict=True)
        ],
        "named_data": [
            {"key": blob.key, "segment_index": index} for index, blob in enumerate(blobs)
        ],
    }


def _schemas() -> list[pathlib.Path]:
    folder = importlib.resources.files("executorch.extension.flat_tensor.serialize")
    return [pathlib.Path(str(folder / name)) for name in ("flat_tensor.fbs", "scalar_type.fbs")]


def _align(number: int, alignment: int) -> int:
    return -(-number // alignment) * alignment
