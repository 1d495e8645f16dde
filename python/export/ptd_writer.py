"""Writes a `.ptd` (ExecuTorch's FlatTensor format) blob by blob, never holding more than one.

    magic and root offset | header | flatbuffer (keys, offsets, sizes) | segments, each aligned to 128

The sizes of all blobs are known from the plan, so the index is written first and the blobs follow as they are
packed. What must stay true: the file is byte for byte what ExecuTorch's own serializer would write for the same
named blobs, and a file that `finish` did not complete is never taken for a whole one (the caller removes it).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from executorch.extension.flat_tensor.serialize.serialize import FlatTensorHeader

from python.console.errors import UserError
from python.export import flatc

ALIGNMENT = 128
_VERSION = 0  # of the FlatTensor schema
_HEADER_ALIGNMENT = 16
_PREFIX = 8  # the flatbuffer's root offset and file identifier, before the header


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


class PtdWriter:
    """Writes the announced blobs in their order. Use: `begin`, `write` for each blob, `finish`."""

    def __init__(self, file: BinaryIO, blobs: Sequence[Blob]) -> None:
        self._file = file
        self._blobs = list(blobs)
        self._next = 0
        self._offset = 0
        self._digest = hashlib.sha256()

    def begin(self) -> None:
        """Writes the header and the index."""
        self._emit(_index(self._blobs))

    def write(self, key: str, planes: Iterable[memoryview | bytes]) -> None:
        """Writes the next blob: its planes, each begun at a multiple of 128 bytes from the blob's start.

        Raises:
          PtdError: the key is not the next announced one, or the planes have another size.
        """
        if self._next == len(self._blobs):
            raise PtdError(f"{key}: all {len(self._blobs)} blobs are written already")
        blob = self._blobs[self._next]
        if blob.key != key:
            raise PtdError(f"{key}: the next blob is {blob.key}")
        self._pad()
        start = self._offset
        for plane in planes:
            self._pad()
            view = memoryview(plane).cast("B")
            if self._offset - start + len(view) > blob.bytes:
                raise PtdError(f"{key}: it is larger than the {blob.bytes} bytes announced")
            self._emit(view)
        if self._offset - start != blob.bytes:
            raise PtdError(f"{key}: {self._offset - start} bytes, but {blob.bytes} were announced")
        self._next += 1

    def finish(self) -> Written:
        """Flushes the file to the disk; returns its size and sha256.

        Raises:
          PtdError: an announced blob is missing.
        """
        if self._next != len(self._blobs):
            raise PtdError(f"{self._blobs[self._next].key} was not written")
        self._file.flush()
        os.fsync(self._file.fileno())
        return Written(bytes=self._offset, sha256=self._digest.hexdigest())

    def _pad(self) -> None:
        self._emit(b"\0" * (-self._offset % ALIGNMENT))

    def _emit(self, data: memoryview | bytes) -> None:
        self._file.write(data)
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
    header_bytes = _align(FlatTensorHeader.EXPECTED_LENGTH, _HEADER_ALIGNMENT)
    base = _align(header_bytes + len(buffer), ALIGNMENT)
    header = FlatTensorHeader(
        flatbuffer_offset=header_bytes,
        flatbuffer_size=len(buffer),
        segment_base_offset=base,
        segment_data_size=offsets[-1] + blobs[-1].bytes if blobs else 0,
    ).to_bytes()
    root = int.from_bytes(buffer[:4], "little") + header_bytes
    prefix = root.to_bytes(4, "little") + buffer[4:_PREFIX]
    return (prefix + header.ljust(header_bytes, b"\0") + buffer[_PREFIX:]).ljust(base, b"\0")


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
