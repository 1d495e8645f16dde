"""Reads the index of a `.ptd` (ExecuTorch's FlatTensor format) without trusting it."""

import struct
from dataclasses import dataclass
from pathlib import Path

import python.inspect.flat_tensor_generated as flat_tensor_generated

from python.checkpoint.byte_source import ByteSource
from python.console.errors import FormatError

MAGIC = b"FT01"
_HEADER_OFFSET = 8
# Magic, bytes of the header; offset and size of the flatbuffer; offset and size of the segments.
_HEADER = struct.Struct("<4sIQQQQ")
_MAX_INDEX_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A named run of bytes; `offset` counts from the file's start."""

    key: str
    offset: int
    bytes: int


def read_ptd(path: Path) -> tuple[Blob, ...]:
    """The blobs by offset. Raises FormatError for an index that does not fit the file."""
    source = ByteSource(path)
    try:
        head = source.read(0, min(source.size, _HEADER_OFFSET + _HEADER.size))
        if head[4:8] != MAGIC or len(head) < _HEADER_OFFSET + _HEADER.size:
            raise FormatError(path, f"is not a .ptd file: bytes 4 to 7 are not {MAGIC!r}")
        magic, _, start, size, base, _ = _HEADER.unpack_from(head, _HEADER_OFFSET)
        if not magic.startswith(b"FH") or start + size > source.size or size > _MAX_INDEX_BYTES:
            raise FormatError(
                path, f"claims an index of {size} bytes at {start}; the file has {source.size}"
            )
        index = source.read(0, start + size)
        return _blobs(path, index, base, source.size)
    finally:
        source.close()


def _blobs(path: Path, index: bytes, base: int, file_size: int) -> tuple[Blob, ...]:
    try:
        table = flat_tensor_generated.FlatTensor.GetRootAs(index, 0)
        if table.NamedDataLength() > len(index) // 8:
            raise ValueError("more blobs than bytes")
        blobs = []
        for position in range(table.NamedDataLength()):
            entry = table.NamedData(position)
            segment = table.Segments(entry.SegmentIndex())
            offset, size = base + segment.Offset(), segment.Size()
            blobs.append(Blob(key=entry.Key().decode(), offset=offset, bytes=size))
    except (struct.error, ValueError, IndexError, TypeError, AttributeError) as error:
        raise FormatError(
            path, f"has a damaged index ({type(error).__name__}); export it again"
        ) from None
    for blob in blobs:
        if blob.offset + blob.bytes > file_size:
            raise FormatError(
                path,
                f"is truncated: {blob.key!r:.90} ends at byte {blob.offset + blob.bytes}, the "
                f"file at {file_size}",
            )
    return tuple(sorted(blobs, key=lambda blob: blob.offset))
