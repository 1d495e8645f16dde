"""The weight layouts of docs/formats.md as data: which planes a blob has, and what each holds.

Packing, unpacking and sizes all follow from `WeightShape.planes`;
no other place knows an offset, and no other place knows which layout takes which
quantized matrix (`integer_layout`). A new layout is a line of `Layout` and a line of `_TRAITS`.
The twin of cc/kernels/layout.h and weight_layout.h.
"""

import enum
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from python.checkpoint.levels import E2M1_LEVELS, FP4_GROUP, IQ4_LEVELS
from python.console.errors import UserError

PLANE_ALIGNMENT = 128
MIN_GROUP = 32
K_COLUMNS = 256  # columns that share the float16 scale of a layout with blocks


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
    IQ4_NL = "IQ4_NL"
    IQ4_XS = "IQ4_XS"
    NVFP4 = "NVFP4"

    @property
    def traits(self) -> "Traits":
        return _TRAITS[self]

    @property
    def has_groups(self) -> bool:
        """Whether columns share a scale in groups of a size that the weight states."""
        return self.traits.scales is Scales.GROUPS


class Scales(enum.Enum):
    """How a layout scales its integers."""

    NONE = enum.auto()  # numbers as they are
    GROUPS = enum.auto()  # float16 for each group, whose size is the weight's choice; float32 a row
    PACKED = enum.auto()  # 8 groups of 32 columns: 6 bits each for scale and min; d and dmin
    INT8 = enum.auto()  # 16 groups of 16 columns: an int8 each; d
    SIGNED6 = enum.auto()  # 8 groups of 32 columns: 6 bits each; d
    E4M3 = enum.auto()  # an E4M3 for each 16 columns; a float32 d a row


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What tells a layout from the others: the twin of LayoutTraits in cc/kernels/layout.h.

    `values` is the dtype of the value plane, where `nibble` stands for two columns a byte;
    `extra_bits` are more bits of q: 1 in the bit plane, 2 in the pair plane. `zero_point` is what
    is subtracted from q before it is scaled, unless `levels` says what q stands for: 16 integers.
    """

    values: str
    extra_bits: int = 0
    scales: Scales = Scales.NONE
    zero_point: int = 0
    mins: bool = False
    levels: tuple[int, ...] | None = None


_NIBBLE = "nibble"
_TRAITS: Mapping[Layout, Traits] = {
    Layout.F32: Traits(values="<f4"),
    Layout.F16: Traits(values="<f2"),
    Layout.BF16: Traits(values="<u2"),  # numpy has no bfloat16: its bits
    Layout.INT8: Traits(values="i1", scales=Scales.GROUPS),
    Layout.INT4: Traits(values=_NIBBLE, scales=Scales.GROUPS, zero_point=8),
    Layout.INT4_MIN: Traits(values=_NIBBLE, scales=Scales.GROUPS, mins=True),
    Layout.INT5: Traits(values=_NIBBLE, extra_bits=1, scales=Scales.GROUPS, zero_point=16),
    Layout.INT5_MIN: Traits(values=_NIBBLE, extra_bits=1, scales=Scales.GROUPS, mins=True),
    Layout.Q4_K: Traits(values=_NIBBLE, scales=Scales.PACKED),
    Layout.Q5_K: Traits(values=_NIBBLE, extra_bits=1, scales=Scales.PACKED),
    Layout.Q6_K: Traits(values=_NIBBLE, extra_bits=2, scales=Scales.INT8, zero_point=32),
    Layout.IQ4_NL: Traits(values=_NIBBLE, scales=Scales.GROUPS, levels=IQ4_LEVELS),
    Layout.IQ4_XS: Traits(values=_NIBBLE, scales=Scales.SIGNED6, levels=IQ4_LEVELS),
    Layout.NVFP4: Traits(values=_NIBBLE, scales=Scales.E4M3, levels=E2M1_LEVELS),
}


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


_Part = tuple[str, str, tuple[int, ...]]


def _parts(layout: Layout, columns: int, group: int) -> list[_Part]:
    """(name, dtype, shape of a row) of each plane."""
    traits = layout.traits
    if traits.scales is Scales.NONE:
        return [("values", traits.values, (columns,))]
    _check_columns(layout, columns, group)
    return _value_parts(traits, columns) + _scale_parts(traits, columns, group)


def _value_parts(traits: Traits, columns: int) -> list[_Part]:
    if traits.values != _NIBBLE:
        return [("int8", traits.values, (columns,))]
    extra: dict[int, list[_Part]] = {
        0: [],
        1: [("bit", "<u4", (columns // 32,))],
        2: [("pair", "u1", (columns // 4,))],
    }
    return [("nibble", "u1", (columns // 2,)), *extra[traits.extra_bits]]


def _scale_parts(traits: Traits, columns: int, group: int) -> list[_Part]:
    blocks = columns // K_COLUMNS
    match traits.scales:
        case Scales.PACKED:
            return [("scales", "u1", (blocks, 12)), ("d", "<f2", (blocks, 2))]
        case Scales.INT8:
            return [("scale", "i1", (columns // 16,)), ("d", "<f2", (blocks,))]
        case Scales.SIGNED6:
            return [("scales", "u1", (blocks, 8))]
        case Scales.E4M3:
            return [("scale", "u1", (columns // FP4_GROUP,)), ("d", "<f4", (1,))]
    groups = columns // group
    scale = ("<f4" if groups == 1 else "<f2", (groups,))
    return [("scale", *scale), ("min", *scale)] if traits.mins else [("scale", *scale)]


def _check_columns(layout: Layout, columns: int, group: int) -> None:
    """Raises UserError unless the layout can cut so many columns into its groups and blocks."""
    size = MIN_GROUP if layout.traits.scales is Scales.E4M3 else K_COLUMNS
    if layout.has_groups:
        _check_group(columns, group)
    elif columns % size:
        raise UserError(
            f"{layout.name} has blocks of {size} columns, which do not divide {columns}"
        )


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
