"""A GGUF file as checked metadata and lazily read tensors.

Nothing of the file is trusted. The rules are those of the format and of llama.cpp's loader: version
2 or 3, unique keys and names, an alignment that is a power of two, one to four positive sizes,
whole blocks in a row, and data that lie one after another without holes, inside the file.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from python.checkpoint import ggml_types
from python.checkpoint.byte_source import ByteSource, checked_product
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.gguf_metadata import Cursor, read_metadata

MAGIC = b"GGUF"
MAX_TENSORS = 1 << 16
_MAX_NAME_BYTES = 256
_MAX_SIZE = 1 << 40
_MAX_BYTES = 1 << 50
_MAX_ALIGNMENT = 1 << 16
_DEFAULT_ALIGNMENT = 32
_MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8


@dataclass(frozen=True, kw_only=True)
class GgufTensor:
    """Where a tensor lies. `shape` has rows before columns (the reverse of the file's order)."""

    name: str
    type: GgmlType
    shape: tuple[int, ...]
    offset: int
    bytes: int


class GgufFile:
    """An open GGUF file.

    Raises FormatError, in one sentence, for everything that is not as it must be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._source = ByteSource(path)
        try:
            cursor = Cursor(self._source)
            tensor_count, key_count = _read_header(cursor)
            start = cursor.offset
            self.metadata: Mapping[str, Any] = read_metadata(cursor, key_count)
            self._metadata_place = (key_count, start, cursor.offset)
            self.tensors: Mapping[str, GgufTensor] = _read_tensors(
                cursor, tensor_count, _alignment(cursor, self.metadata), self._source.size
            )
        except BaseException:
            self._source.close()
            raise

    def read(self, name: str) -> np.ndarray:
        """The tensor's bytes: uint8 [rows, bytes of a row]; all sizes but the last are rows."""
        tensor = self.tensors[name]
        data = self._source.read_array(tensor.offset, tensor.bytes)
        return data.reshape(-1, tensor.shape[-1] // tensor.type.columns * tensor.type.bytes)

    def metadata_alone(self) -> bytes:
        """A whole GGUF file with this one's metadata, byte for byte, and no tensor."""
        count, start, stop = self._metadata_place
        return MAGIC + struct.pack("<IQQ", 3, 0, count) + self._source.read(start, stop - start)

    def will_read(self, name: str) -> None:
        """Lets the disk begin to read the tensor."""
        tensor = self.tensors[name]
        self._source.will_read(tensor.offset, tensor.bytes)

    def close(self) -> None:
        self._source.close()


def _read_header(cursor: Cursor) -> tuple[int, int]:
    magic = cursor.take(4, "the header")
    if magic != MAGIC:
        raise cursor.error(f"is not a GGUF file: it begins with {magic!r}, not {MAGIC!r}")
    version = cursor.scalar("I", "the header")
    if version in (2 << 24, 3 << 24):
        raise cursor.error(
            "is a big-endian GGUF file; convert it to little-endian with gguf-py's "
            "gguf-convert-endian"
        )
    if version not in (2, 3):
        raise cursor.error(f"has GGUF version {version}, only 2 and 3 are read")
    return cursor.scalar("Q", "the header"), cursor.scalar("Q", "the header")


def _alignment(cursor: Cursor, metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if (
        type(alignment) is not int
        or not 1 <= alignment <= _MAX_ALIGNMENT
        or alignment & (alignment - 1)
    ):
        raise cursor.error(
            f"general.alignment is {alignment!r:.40}, it must be a power of two of at most "
            f"{_MAX_ALIGNMENT}"
        )
    return alignment


def _read_tensors(
    cursor: Cursor, count: int, alignment: int, file_size: int
) -> dict[str, GgufTensor]:
    if count > min(MAX_TENSORS, cursor.left // _MIN_TENSOR_BYTES):
        raise cursor.error(
            f"claims {count} tensors in {cursor.left} bytes (at most {MAX_TENSORS} are allowed)"
        )
    tensors: dict[str, GgufTensor] = {}
    expected = 0
    for index in range(count):
        tensor = _read_tensor(cursor, index)
        if tensor.name in tensors:
            raise cursor.error(f"tensor {tensor.name!r:.90} occurs twice")
        if tensor.offset != expected:
            raise cursor.error(
                f"tensor {tensor.name!r:.90} lies at offset {tensor.offset}, it must lie at {expected}"
            )
        expected += _padded(tensor.bytes, alignment)
        tensors[tensor.name] = tensor
    return _place(cursor, tensors, _padded(cursor.offset, alignment), file_size)


def _place(
    cursor: Cursor, tensors: dict[str, GgufTensor], data_start: int, file_size: int
) -> dict[str, GgufTensor]:
    """Makes offsets within the data offsets within the file, which must hold all tensors."""
    placed = {}
    for tensor in tensors.values():
        offset = data_start + tensor.offset
        if offset + tensor.bytes > file_size:
            raise cursor.error(
                f"is truncated: tensor {tensor.name!r:.90} ends at byte {offset + tensor.bytes}, the "
                f"file at {file_size}"
            )
        placed[tensor.name] = GgufTensor(
            name=tensor.name,
            type=tensor.type,
            shape=tensor.shape,
            offset=offset,
            bytes=tensor.bytes,
        )
    return placed


def _read_tensor(cursor: Cursor, index: int) -> GgufTensor:
    name = cursor.string(f"the name of tensor {index}", _MAX_NAME_BYTES)
    what = f"tensor {name!r:.90}"
    if not name:
        raise cursor.error(f"tensor {index} has no name")
    dimensions = cursor.scalar("I", what)
    if not 1 <= dimensions <= 4:
        raise cursor.error(f"{what} has {dimensions} dimensions, 1 to 4 are allowed")
    sizes = tuple(cursor.scalar("Q", what) for _ in range(dimensions))
    kind = _type(cursor, cursor.scalar("I", what), what)
    offset = cursor.scalar("Q", what)
    if any(not 1 <= size <= _MAX_SIZE for size in sizes):
        raise cursor.error(
            f"{what} has the sizes {list(sizes)}, each must be within 1 to {_MAX_SIZE}"
        )
    if sizes[0] % kind.columns:
        raise cursor.error(
            f"{what} has rows of {sizes[0]}, {kind.name} has blocks of {kind.columns}"
        )
    size = checked_product((*sizes[1:], sizes[0] // kind.columns, kind.bytes), _MAX_BYTES)
    if size is None:
        raise cursor.error(f"{what} with the sizes {list(sizes)} has more than {_MAX_BYTES} bytes")
    return GgufTensor(name=name, type=kind, shape=sizes[::-1], offset=offset, bytes=size)


def _type(cursor: Cursor, number: int, what: str) -> GgmlType:
    if number in ggml_types.BY_NUMBER:
        return ggml_types.BY_NUMBER[number]
    known = ", ".join(kind.name for kind in ggml_types.ALL)
    raise cursor.error(
        f"{what} has the type {ggml_types.OTHER_NAMES.get(number, number)}, which is not "
        f"supported (use {known})"
    )


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
