"""The header of a GGUF file: the cursor over its bytes and its key-value metadata.

All of it is untrusted: every count and length is checked against what the file still holds before
anything is allocated, and counts have limits far above any real model.
"""

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from python.checkpoint.byte_source import ByteSource
from python.console.errors import FormatError

MAX_KEYS = 1 << 16
MAX_KEY_BYTES = 65535  # the specification's limit
MAX_STRING_BYTES = 1 << 22
MAX_ARRAY_ITEMS = 1 << 22
MAX_HEADER_BYTES = 1 << 28
_READ_AHEAD = 1 << 20

_STRING = 8
_ARRAY = 9
_BOOL = 7
_SCALARS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", _BOOL: "<u1", 10: "<u8",
    11: "<i8", 12: "<f8"
}  # fmt: skip
_TYPE_NAMES = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array")


class StringArray(Sequence[str]):
    """Strings of a metadata array, decoded one at a time when they are asked for."""

    def __init__(self, data: bytes, starts: list[int], key: str, path: object) -> None:
        self._data = data  # each string follows its length in 8 bytes
        self._starts = starts  # of each string; the last entry is one past the end, plus 8
        self._key = key
        self._path = path

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        try:
            return self._data[self._starts[index] : self._starts[index + 1] - 8].decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(self._path, f"{self._key}[{index}] is not UTF-8") from None

    def __iter__(self) -> Iterator[str]:
        for index in range(len(self)):
            yield self[index]

    def to_list(self) -> list[str]:
        """All of them; several times as quick as asking one by one."""
        data, starts = self._data, self._starts
        try:
            return [
                data[start : end - 8].decode("utf-8") for start, end in itertools.pairwise(starts)
            ]
        except UnicodeDecodeError:
            return list(self)  # finds and names the bad one


class Cursor:
    """Reads a file front to back."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._data = b""  # bytes [base, base + len) of the file
        self._base = 0
        self._position = 0  # within _data

    @property
    def offset(self) -> int:
        return self._base + self._position

    @property
    def left(self) -> int:
        return self._source.size - self.offset

    def error(self, problem: str) -> FormatError:
        return FormatError(self._source.path, problem)

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes."""
        self._ensure(count, what)
        start = self._position
        self._position += count
        return self._data[start : start + count]

    def scalar(self, format_: str, what: str) -> Any:
        return struct.unpack("<" + format_, self.take(struct.calcsize("<" + format_), what))[0]

    def string(self, what: str, max_bytes: int) -> str:
        length = self.scalar("Q", what)
        if length > max_bytes:
            raise self.error(f"{what} claims {length} bytes, at most {max_bytes} are allowed")
        try:
            return self.take(length, what).decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"{what} is not UTF-8") from None

    def strings(self, count: int, key: str) -> StringArray:
        """`count` strings, walked over but not decoded."""
        starts = [8]
        first = self.offset
        position = self._position
        unpack = struct.Struct("<Q").unpack_from
        for index in range(count):
            if position + 8 > len(self._data):
                self._position = position
                self._ensure(8, key)
                position = self._position
            (length,) = unpack(self._data, position)
            if length > MAX_STRING_BYTES:
                raise self.error(
                    f"{key}[{index}] claims {length} bytes, at most {MAX_STRING_BYTES} are allowed"
                )
            position += 8 + length
            starts.append(self._base + position - first + 8)
        end = self._base + position
        if end > self._source.size:
            raise self.error(
                f"is truncated within {key}: {end} bytes are needed, it has {self._source.size}"
            )
        if end > MAX_HEADER_BYTES:
            raise self.error(f"has a header beyond {MAX_HEADER_BYTES} bytes (within {key})")
        data = self._source.read(first, end - first)
        self._seek(end)
        return StringArray(data, starts, key, self._source.path)

    def _seek(self, offset: int) -> None:
        """Moves forward to `offset` of the file; what was read before is dropped."""
        if offset - self._base <= len(self._data):
            self._position = offset - self._base
        else:
            self._base, self._position, self._data = offset, 0, b""

    def _ensure(self, count: int, what: str) -> None:
        """Makes `count` bytes available at the position."""
        if self._position + count <= len(self._data):
            return
        offset = self.offset
        if offset + count > MAX_HEADER_BYTES:
            raise self.error(f"has a header beyond {MAX_HEADER_BYTES} bytes (within {what})")
        if count > self._source.size - offset:
            raise self.error(
                f"is truncated within {what}: {offset + count} bytes are needed, it has "
                f"{self._source.size}"
            )
        size = min(max(count, _READ_AHEAD), self._source.size - offset)
        self._data, self._base, self._position = self._source.read(offset, size), offset, 0


def read_metadata(cursor: Cursor, count: int) -> dict[str, Any]:
    """The key-value pairs: numbers, booleans, strings, numpy arrays and StringArrays.

    Raises FormatError.
    """
    # A pair takes at least a length of 8 bytes, one byte of key, a type of 4 and a value of 1.
    if count > min(MAX_KEYS, cursor.left // 14):
        raise cursor.error(
            f"claims {count} metadata keys in {cursor.left} bytes (at most {MAX_KEYS} are allowed)"
        )
    metadata: dict[str, Any] = {}
    for index in range(count):
        key = cursor.string(f"metadata key {index}", MAX_KEY_BYTES)
        if not key:
            raise cursor.error(f"metadata key {index} is empty")
        if key in metadata:
            raise cursor.error(f"metadata key {key!r:.80} occurs twice")
        metadata[key] = _read_value(cursor, cursor.scalar("I", key), key)
    return metadata


def _read_value(cursor: Cursor, kind: int, key: str) -> Any:
    what = f"{key!r:.80}"
    if kind == _STRING:
        return cursor.string(what, MAX_STRING_BYTES)
    if kind == _ARRAY:
        return _read_array(cursor, what)
    if kind not in _SCALARS:
        raise cursor.error(f"{what} has the unknown type {kind}")
    value = np.frombuffer(
        cursor.take(np.dtype(_SCALARS[kind]).itemsize, what), dtype=_SCALARS[kind]
    )[0]
    if kind == _BOOL:
        return _as_booleans(cursor, np.array([value]), what)[0].item()
    return value.item()


def _read_array(cursor: Cursor, what: str) -> np.ndarray | StringArray:
    kind = cursor.scalar("I", what)
    count = cursor.scalar("Q", what)
    item_bytes = (
        8 if kind == _STRING else np.dtype(_SCALARS[kind]).itemsize if kind in _SCALARS else None
    )
    if item_bytes is None:
        raise cursor.error(f"{what} is an array of {_type_name(kind)}")
    if count > min(MAX_ARRAY_ITEMS, cursor.left // item_bytes):
        raise cursor.error(
            f"{what} claims {count} items in {cursor.left} bytes (at most {MAX_ARRAY_ITEMS} are "
            "allowed)"
        )
    if kind == _STRING:
        return cursor.strings(count, what)
    values = np.frombuffer(cursor.take(count * item_bytes, what), dtype=_SCALARS[kind])
    return _as_booleans(cursor, values, what) if kind == _BOOL else values


def _type_name(kind: int) -> str:
    return _TYPE_NAMES[kind] + "s" if kind < len(_TYPE_NAMES) else f"the unknown type {kind}"


def _as_booleans(cursor: Cursor, values: np.ndarray, what: str) -> np.ndarray:
    if values.size and values.max() > 1:
        raise cursor.error(f"{what} holds the boolean {values.max()}, only 0 and 1 are allowed")
    return values.astype(bool)
