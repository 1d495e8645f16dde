"""Builds GGUF files byte by byte, valid ones and broken ones, for tests."""

import struct
from dataclasses import dataclass, field

import numpy as np

from python.checkpoint.ggml_types import GgmlType

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q",
            I64: "q", F64: "d"}  # fmt: skip


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def scalar(kind: int, value: float) -> bytes:
    return struct.pack("<" + _FORMATS[kind], value)


def pair(key: str, kind: int, value: bytes) -> bytes:
    """A metadata entry whose value is already bytes."""
    return string(key) + struct.pack("<I", kind) + value


def text_pair(key: str, value: str) -> bytes:
    return pair(key, STRING, string(value))


def number_pair(key: str, kind: int, value: float) -> bytes:
    return pair(key, kind, scalar(kind, value))


def array(kind: int, items: list[bytes], count: int | None = None) -> bytes:
    head = struct.pack("<IQ", kind, len(items) if count is None else count)
    return head + b"".join(items)


def tensor(name: str | bytes, sizes: list[int], kind: int, offset: int) -> bytes:
    """A tensor's entry; `sizes` in the file's order, columns first."""
    head = string(name) + struct.pack("<I", len(sizes))
    return (
        head
        + b"".join(struct.pack("<Q", size) for size in sizes)
        + struct.pack("<IQ", kind, offset)
    )


@dataclass(kw_only=True)
class GgufBytes:
    """A GGUF file in parts.

    What is None is computed from the rest, so that a test can lie about it.
    """

    pairs: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    data: bytes = b""
    magic: bytes = b"GGUF"
    version: int = 3
    tensor_count: int | None = None
    pair_count: int | None = None
    alignment: int = 32

    def build(self) -> bytes:
        head = self.magic + struct.pack(
            "<IQQ",
            self.version,
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.pairs) if self.pair_count is None else self.pair_count,
        )
        head += b"".join(self.pairs) + b"".join(self.tensors)
        return head + bytes(-len(head) % self.alignment) + self.data


def gguf_file(
    pairs: list[bytes], tensors: list[tuple[str, GgmlType, np.ndarray, tuple[int, ...]]]
) -> bytes:
    """A valid file. Each tensor: name, type, its bytes, and its shape with rows before columns."""
    entries = []
    data = b""
    for name, kind, values, shape in tensors:
        entries.append(tensor(name, list(shape[::-1]), kind.number, len(data)))
        raw = values.tobytes()
        data += raw + bytes(-len(raw) % 32)
    return GgufBytes(pairs=pairs, tensors=entries, data=data).build()
