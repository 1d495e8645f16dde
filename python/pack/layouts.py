"""The weight layouts of docs/formats.md as data: which planes a blob has, where each begins and
what it holds.

Packing, unpacking and sizes all follow from `planes`; no other place knows an offset.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from python.console.errors import UserError

PLANE_ALIGNMENT = 128
MIN_GROUP = 32
K_COLUMNS = 256  # columns that share the float16 scales of a K layout

LAYOUTS = (
    "F32",
    "F16",
    "BF16",
    "INT8",
    "INT4",
    "INT4_MIN",
    "INT5",
    "INT5_MIN",
    "Q4_K",
    "Q5_K",
    "Q6_K",
)
_PLAIN: Mapping[str, str] = {
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
}  # numpy has no bfloat16: its bits


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Numbers of one kind: `shape` begins with the rows; `offset` counts bytes from the blob's
    start.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, kw_only=True)
class PackedWeight:
    """A weight as the kernels read it. `data`: uint8 [blob bytes], also a buffer.

    `group` is the number of columns that share a scale for INT8, INT4, INT4_MIN, INT5 and INT5_MIN,
    else 0. `loss` is the relative error (root of the mean square over that of the weight) that
    packing itself added; 0.0 means exact.
    """

    layout: str
    rows: int
    columns: int
    group: int
    data: np.ndarray
    loss: float = 0.0

    def plane(self, name: str) -> np.ndarray:
        """A plane as a typed view [rows, ...]."""
        for plane in planes(self.layout, self.rows, self.columns, self.group):
            if plane.name == name:
                part = self.data[plane.offset : plane.offset + plane.bytes]
                return part.view(plane.dtype).reshape(plane.shape)
        raise KeyError(name)


def empty(layout: str, rows: int, columns: int, group: int) -> PackedWeight:
    """A weight whose planes are still to be written; the gaps between them are zero."""
    parts = planes(layout, rows, columns, group)
    data = np.empty(blob_bytes(layout, rows, columns, group), dtype=np.uint8)
    for before, after in itertools.pairwise(parts):
        data[before.offset + before.bytes : after.offset] = 0
    return PackedWeight(layout=layout, rows=rows, columns=columns, group=group, data=data)


def blob_bytes(layout: str, rows: int, columns: int, group: int) -> int:
    """Bytes of the blob: to the end of its last plane."""
    last = planes(layout, rows, columns, group)[-1]
    return last.offset + last.bytes


def bits_per_weight(layout: str, rows: int, columns: int, group: int) -> float:
    """Bits of all planes, without the gaps, for one weight."""
    return sum(plane.bytes for plane in planes(layout, rows, columns, group)) * 8 / (rows * columns)


def planes(layout: str, rows: int, columns: int, group: int) -> tuple[Plane, ...]:
    """The planes in order. Raises UserError where the layout cannot hold such a matrix."""
    if layout not in LAYOUTS:
        raise UserError(f"layout {layout!r} is unknown (use {', '.join(LAYOUTS)})")
    if rows < 1 or columns < 1:
        raise UserError(f"a weight of {rows} x {columns} is empty")
    placed: list[Plane] = []
    end = 0
    for name, dtype, width in _parts(layout, columns, group):
        start = -(-end // PLANE_ALIGNMENT) * PLANE_ALIGNMENT
        plane = Plane(name=name, dtype=dtype, shape=(rows, *width), offset=start)
        placed.append(plane)
        end = start + plane.bytes
    return tuple(placed)


def _parts(layout: str, columns: int, group: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """(name, dtype, shape of a row) of each plane."""
    if layout in _PLAIN:
        return [("values", _PLAIN[layout], (columns,))]
    if layout.endswith("_K"):
        return _k_parts(layout, columns)
    _check_group(columns, group)
    groups = columns // group
    scale = ("<f4", (groups,)) if groups == 1 else ("<f2", (groups,))
    if layout == "INT8":
        return [("int8", "i1", (columns,)), ("scale", *scale)]
    parts: list[tuple[str, str, tuple[int, ...]]] = [("nibble", "u1", (columns // 2,))]
    if layout.startswith("INT5"):
        parts.append(("bit", "<u4", (columns // 32,)))
    parts.append(("scale", *scale))
    if layout.endswith("_MIN"):
        parts.append(("min", *scale))
    return parts


def _k_parts(layout: str, columns: int) -> list[tuple[str, str, tuple[int, ...]]]:
    if columns % K_COLUMNS:
        raise UserError(
            f"{layout} has blocks of {K_COLUMNS} columns, which do not divide {columns}"
        )
    blocks = columns // K_COLUMNS
    nibble: tuple[str, str, tuple[int, ...]] = ("nibble", "u1", (columns // 2,))
    if layout == "Q6_K":
        return [
            nibble,
            ("pair", "u1", (columns // 4,)),
            ("scale", "i1", (columns // 16,)),
            ("d", "<f2", (blocks,)),
        ]
    tail: list[tuple[str, str, tuple[int, ...]]] = [
        ("scales", "u1", (blocks, 12)),
        ("d", "<f2", (blocks, 2)),
    ]
    if layout == "Q5_K":
        return [nibble, ("bit", "<u4", (columns // 32,)), *tail]
    return [nibble, *tail]


def _check_group(columns: int, group: int) -> None:
    if group < MIN_GROUP or group % MIN_GROUP or columns % group:
        fitting = [str(size) for size in (32, 64, 128) if columns % size == 0]
        if columns % MIN_GROUP == 0:
            fitting.append(f"{columns}, one scale a row")
        remedy = (
            f"use {' or '.join(fitting)}"
            if fitting
            else f"columns must be a multiple of {MIN_GROUP}"
        )
        raise UserError(
            f"group {group} does not divide {columns} columns into multiples of {MIN_GROUP} "
            f"({remedy})"
        )
