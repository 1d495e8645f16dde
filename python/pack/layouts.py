"""The weight layouts of docs/formats.md as data: which planes a blob has, and what each holds.

Packing, unpacking and sizes all follow from `WeightShape.planes`;
no other place knows an offset, and no other place knows which layout takes which
quantized matrix (`integer_layout`). The twin of cc/kernels/weight_layout.h.
"""

import enum
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from python.console.errors import UserError

PLANE_ALIGNMENT = 128
MIN_GROUP = 32
K_COLUMNS = 256  # columns that share the float16 scales of a K layout


class Layout(enum.Enum):
    """How a weight's bytes encode its matrix; names and order are those of the plan's schema."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    INT8 = "INT8"
    INT4 = "INT4"
    INT4_MIN = "INT4_MIN"
    INT5 = "INT5"
    INT5_MIN = "INT5_MIN"
    Q4_K = "Q4_K"
    Q5_K = "Q5_K"
    Q6_K = "Q6_K"

    @property
    def has_groups(self) -> bool:
        """Whether columns share a scale in groups of a size that the weight states."""
        return self.name.startswith("INT")


_PLAIN: Mapping[Layout, str] = {
    Layout.F32: "<f4",
    Layout.F16: "<f2",
    Layout.BF16: "<u2",
}  # numpy has no bfloat16: its bits


def integer_layout(bits: int, *, symmetric: bool) -> Layout:
    """The layout of a quantized matrix. Raises UserError where there is none."""
    if bits == 8 and not symmetric:
        raise UserError("asymmetric with 8 bits has no layout (use symmetric, or 4 bits)")
    if bits not in (4, 8):
        raise UserError(f"{bits} bits have no layout (use 4 or 8)")
    return Layout.INT8 if bits == 8 else Layout.INT4 if symmetric else Layout.INT4_MIN


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Numbers of one kind: `shape` begins with the rows, `offset` counts from the blob's start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, kw_only=True)
class WeightShape:
    """A matrix [rows, columns] and the layout of its bytes.

    `group` is the number of columns that share a scale where the layout `has_groups` (all columns:
    one scale a row), else 0.
    """

    layout: Layout
    rows: int
    columns: int
    group: int = 0

    def planes(self) -> tuple[Plane, ...]:
        """The planes in order. Raises UserError where the layout cannot hold such a matrix."""
        if self.rows < 1 or self.columns < 1:
            raise UserError(f"a weight of {self.rows} x {self.columns} is empty")
        placed: list[Plane] = []
        end = 0
        for name, dtype, width in _parts(self.layout, self.columns, self.group):
            start = -(-end // PLANE_ALIGNMENT) * PLANE_ALIGNMENT
            plane = Plane(name=name, dtype=dtype, shape=(self.rows, *width), offset=start)
            placed.append(plane)
            end = start + plane.bytes
        return tuple(placed)

    @property
    def bytes(self) -> int:
        """Bytes of the blob: to the end of its last plane."""
        last = self.planes()[-1]
        return last.offset + last.bytes

    @property
    def bits_per_weight(self) -> float:
        """Bits of all planes, without the gaps, for one weight."""
        return sum(plane.bytes for plane in self.planes()) * 8 / (self.rows * self.columns)


@dataclass(frozen=True, kw_only=True)
class PackedWeight:
    """A weight as the kernels read it. `data`: uint8 [shape.bytes], also a buffer.

    `loss` is the relative error (root of the mean square over that of the weight) that packing
    itself added; 0.0 means exact.
    """

    shape: WeightShape
    data: np.ndarray
    loss: float = 0.0

    def plane(self, name: str) -> np.ndarray:
        """A plane as a typed view [rows, ...]."""
        for plane in self.shape.planes():
            if plane.name == name:
                part = self.data[plane.offset : plane.offset + plane.bytes]
                return part.view(plane.dtype).reshape(plane.shape)
        raise KeyError(name)


def empty(shape: WeightShape) -> PackedWeight:
    """A weight whose planes are still to be written; the gaps between them are zero."""
    data = np.empty(shape.bytes, dtype=np.uint8)
    for before, after in itertools.pairwise(shape.planes()):
        data[before.offset + before.bytes : after.offset] = 0
    return PackedWeight(shape=shape, data=data)


def _parts(layout: Layout, columns: int, group: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """(name, dtype, shape of a row) of each plane."""
    if layout in _PLAIN:
        return [("values", _PLAIN[layout], (columns,))]
    if not layout.has_groups:
        return _k_parts(layout, columns)
    _check_group(columns, group)
    groups = columns // group
    scale = ("<f4", (groups,)) if groups == 1 else ("<f2", (groups,))
    if layout is Layout.INT8:
        return [("int8", "i1", (columns,)), ("scale", *scale)]
    parts: list[tuple[str, str, tuple[int, ...]]] = [("nibble", "u1", (columns // 2,))]
    if layout in (Layout.INT5, Layout.INT5_MIN):
        parts.append(("bit", "<u4", (columns // 32,)))
    parts.append(("scale", *scale))
    if layout in (Layout.INT4_MIN, Layout.INT5_MIN):
        parts.append(("min", *scale))
    return parts


def _k_parts(layout: Layout, columns: int) -> list[tuple[str, str, tuple[int, ...]]]:
    if columns % K_COLUMNS:
        raise UserError(
            f"{layout.name} has blocks of {K_COLUMNS} columns, which do not divide {columns}"
        )
    blocks = columns // K_COLUMNS
    nibble: tuple[str, str, tuple[int, ...]] = ("nibble", "u1", (columns // 2,))
    if layout is Layout.Q6_K:
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
    if layout is Layout.Q5_K:
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
