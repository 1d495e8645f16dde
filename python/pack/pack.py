"""From what a checkpoint or a quantizer gives to the layouts that kernels read (docs/formats.md).

All arrive exactly but GGUF's Q2_K: canonical quantized tensors, plain numbers, NVFP4, and the other
types of GGUF. Q2_K has no exact image (`is_exact`); it becomes INT8, and `PackedWeight.loss` says
what that cost.

| from | layout | how |
|---|---|---|
| Q3_K | Q6_K | the same scales of 16 columns; q - 4 stays within 6 bits |
| Q2_K | INT8 | rounded anew, 255 levels for every 32 columns |
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from python.checkpoint import ggml_types, gguf_blocks, quantized
from python.checkpoint.quantized import PairedTensor, QuantizedTensor
from python.checkpoint.tensor import (
    BlockTensor,
    DenseTensor,
    Fp4Tensor,
    StoredTensor,
    TorchaoTensor,
)
from python.console.errors import UserError
from python.pack import layouts
from python.pack.layouts import Layout, PackedWeight, WeightShape

_SLAB_COLUMNS = 1 << 20  # numbers in flight at a time: they stay within the cache
_LOW_HALVES, _HIGH_HALVES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0xF0F0F0F0F0F0F0F0)
_PLAIN_LAYOUTS = {
    torch.float32: Layout.F32,
    torch.float16: Layout.F16,
    torch.bfloat16: Layout.BF16,
}
_KEPT_LAYOUTS = {layout.name for layout in (*_PLAIN_LAYOUTS.values(), Layout.NVFP4)}


def pack(name: str, tensor: StoredTensor | QuantizedTensor) -> PackedWeight:
    """The packed form; vectors become F32 [1, n]. Raises UserError, naming the weight.

    Integers and FP8 under scales are pack_scaled's, since a layout has to be chosen for them.
    """
    try:
        if isinstance(tensor, TorchaoTensor):
            return _pack_torchao(name, tensor)
        if isinstance(tensor, QuantizedTensor):
            return _pack_quantized(tensor)
        if isinstance(tensor, BlockTensor):
            return _pack_blocks(tensor)
        if isinstance(tensor, Fp4Tensor):
            return _pack_fp4(tensor)
        if isinstance(tensor, DenseTensor):
            return _pack_plain(tensor)
        raise UserError(f"{type(tensor).__name__} is packed by pack_scaled, which knows its layout")
    except UserError as error:
        raise UserError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from None


def kept_shape(encoding: str, rows: int, columns: int) -> WeightShape:
    """The shape of a matrix that is packed as a checkpoint stores it.

    `encoding` is a GGUF or plain type, or NVFP4.
    Raises UserError for a type that has no layout, or that cannot hold so many columns.
    """
    if encoding in _BLOCK_PACKERS:
        layout = _BLOCK_PACKERS[encoding][0]
    elif encoding in _KEPT_LAYOUTS:
        layout = Layout[encoding]
    else:
        raise UserError(f"it is stored as {encoding}, for which there is no layout")
    group = layouts.MIN_GROUP if layout.has_groups else 0
    shape = WeightShape(layout=layout, rows=rows, columns=columns, group=group)
    shape.planes()
    return shape


def is_exact(encoding: str) -> bool:
    """Whether `kept_shape` holds every value of this type to the last bit."""
    return encoding not in _BLOCK_PACKERS or _BLOCK_PACKERS[encoding][2]


def _pack_plain(tensor: DenseTensor) -> PackedWeight:
    values = tensor.values
    if values.dtype not in _PLAIN_LAYOUTS:
        raise UserError(f"is {values.dtype}, only float32, float16 and bfloat16 are weights")
    if values.ndim > 2 or values.numel() == 0:
        raise UserError(f"has the shape {list(values.shape)}, a weight has one or two sizes")
    if values.ndim < 2:
        values = values.reshape(1, -1).to(torch.float32)
    layout = _PLAIN_LAYOUTS[values.dtype]
    data = values.contiguous().view(torch.uint8).reshape(-1).numpy()
    shape = WeightShape(layout=layout, rows=values.shape[0], columns=values.shape[1])
    return PackedWeight(shape=shape, data=data)


def _pack_torchao(name: str, tensor: TorchaoTensor) -> PackedWeight:
    if tensor.class_name != "Int4Tensor":
        return _pack_quantized(quantized.from_torchao(name, tensor))
    paired = quantized.pairs_from_int4(name, tensor)
    packed = layouts.empty(quantized_shape(paired))
    pairs, plane = paired.pairs.numpy(), packed.plane("nibble")
    for rows in _slabs(paired.rows, paired.columns):
        regroup_pairs(pairs[rows], plane[rows])
        plane[rows] ^= 0x88  # q + 8 of a signed nibble: its highest bit turned
    return _with_scales(packed, paired)


def _pack_fp4(tensor: Fp4Tensor) -> PackedWeight:
    shape = WeightShape(layout=Layout.NVFP4, rows=tensor.rows, columns=tensor.columns)
    packed = layouts.empty(shape)
    scale = tensor.scale.contiguous().view(torch.uint8).numpy()
    if ((scale & 0x7F) == 0x7F).any() or not torch.isfinite(tensor.global_scale).all():
        raise UserError("a scale is no number")
    pairs, plane = tensor.pairs.contiguous().numpy(), packed.plane("nibble")
    for rows in _slabs(tensor.rows, tensor.columns):
        regroup_pairs(pairs[rows], plane[rows])
    packed.plane("scale")[:] = scale
    packed.plane("d")[:, 0] = tensor.global_scale.numpy() / 2  # the levels are twice the numbers
    return packed


def _pack_quantized(tensor: QuantizedTensor) -> PackedWeight:
    packed, q = layouts.empty(quantized_shape(tensor)), tensor.q.numpy()
    if packed.shape.layout is Layout.INT8:
        packed.plane("int8")[:] = q
    else:
        plane = packed.plane("nibble")
        for rows in _slabs(tensor.rows, tensor.columns):
            plane[rows] = pack_nibbles((q[rows] + np.int8(8)).view(np.uint8))
    return _with_scales(packed, tensor)


def quantized_shape(tensor: QuantizedTensor | PairedTensor) -> WeightShape:
    """The shape that a canonical quantized matrix is packed into. Raises UserError."""
    bits = tensor.bits if isinstance(tensor, QuantizedTensor) else 4
    layout = layouts.integer_layout(bits, symmetric=tensor.offset is None)
    return WeightShape(layout=layout, rows=tensor.rows, columns=tensor.columns, group=tensor.group)


def _with_scales(packed: PackedWeight, tensor: QuantizedTensor | PairedTensor) -> PackedWeight:
    """Fills the planes of scales and minima; the result states what the minima lost."""
    packed.plane("scale")[:] = tensor.scale.numpy()
    if tensor.offset is None:
        return packed
    # The canonical offset belongs to q = 0 of -8 to 7, the layout's minimum to q = 0 of 0 to 15.
    scale, offset = tensor.scale.to(torch.float32).numpy(), tensor.offset.to(torch.float32).numpy()
    packed.plane("min")[:] = offset - 8 * scale
    change = packed.plane("min").astype(np.float32) + 8 * scale - offset
    return replace(packed, loss=_relative(change, tensor))


def _relative(change: np.ndarray, tensor: QuantizedTensor | PairedTensor) -> float:
    """Error of every weight of a group -> relative error of the whole."""
    if not change.any():
        return 0.0
    square = 0.0
    for rows in _slabs(tensor.rows, tensor.columns):
        square += float(tensor.dequantize(rows.start, rows.stop).to(torch.float64).square().sum())
    return (
        float(np.sqrt(np.square(change, dtype=np.float64).sum() * tensor.group / square))
        if square
        else 0.0
    )


def _pack_blocks(tensor: BlockTensor) -> PackedWeight:
    _, fill, exact = _BLOCK_PACKERS[tensor.type.name]
    packed = layouts.empty(kept_shape(tensor.type.name, tensor.rows, tensor.columns))
    planes = {plane.name: packed.plane(plane.name) for plane in packed.shape.planes()}
    error = square = 0.0
    for rows in _slabs(tensor.rows, tensor.columns):
        blocks = tensor.blocks[rows].reshape(-1, tensor.type.bytes)  # [rows * blocks a row, bytes]
        part = {name: plane[rows] for name, plane in planes.items()}
        with np.errstate(invalid="ignore", over="ignore"):
            fill(blocks, part)
        if not exact:
            w = gguf_blocks.decode(tensor.type, blocks).values().reshape(part["int8"].shape)
            error += float(np.square(_int8_values(part) - w, dtype=np.float64).sum())
            square += float(np.square(w, dtype=np.float64).sum())
    if square:
        return replace(packed, loss=float(np.sqrt(error / square)))
    return packed


def _int8_values(planes: dict[str, np.ndarray]) -> np.ndarray:
    q, scale = planes["int8"].astype(np.float32), planes["scale"].astype(np.float32)
    w: np.ndarray = q.reshape(*scale.shape, -1) * scale[..., None]
    return w.reshape(q.shape)


def _slabs(rows: int, columns: int) -> list[slice]:
    step = max(1, _SLAB_COLUMNS // columns)
    return [slice(start, min(rows, start + step)) for start in range(0, rows, step)]


def pack_nibbles(q: np.ndarray) -> np.ndarray:
    """uint8 [rows, columns], 0 to 15 -> uint8 [rows, columns / 2].

    Of each 32 columns, byte j holds column j in its low half and j + 16 in its high half.
    """
    words = np.ascontiguousarray(q).view("<u8").reshape(-1, 4)  # 8 columns a word
    packed = np.empty((len(words), 2), dtype="<u8")
    for half in range(2):
        out = packed[:, half]
        np.left_shift(words[:, 2 + half], 4, out=out)
        out |= words[:, half]
    return packed.view(np.uint8).reshape(q.shape[0], -1)


def regroup_pairs(pairs: np.ndarray, out: np.ndarray) -> None:
    """Turns pairs of neighbours into the pairs of `pack_nibbles`.

    pairs, out: uint8 [rows, columns / 2], contiguous; byte j of `pairs` holds column 2 j in its low
    half and 2 j + 1 in its high half.
    """
    words = pairs.view("<u8").reshape(-1, 2)  # of 32 columns the first 16 and the last
    first, last = words[:, 0], words[:, 1]
    even = last << 4  # byte j: columns 2 j and 16 + 2 j
    even &= _HIGH_HALVES
    half = first & _LOW_HALVES
    even |= half
    odd = first >> 4  # byte j: columns 2 j + 1 and 17 + 2 j
    odd &= _LOW_HALVES
    np.bitwise_and(last, _HIGH_HALVES, out=half)
    odd |= half
    both = out.view("<u2").reshape(-1)
    np.left_shift(odd.view(np.uint8), 8, out=both, dtype=np.uint16)
    both |= even.view(np.uint8)


def pack_bits(q: np.ndarray) -> np.ndarray:
    """uint8 [rows, columns], 0 or 1 -> uint32 [rows, columns / 32]: bit j for column j."""
    return np.packbits(q, axis=-1, bitorder="little").view("<u4")


def pack_pairs(q: np.ndarray) -> np.ndarray:
    """uint8 [rows, columns], 0 to 3 -> uint8 [rows, columns / 4].

    Of each 32 columns, byte j holds j, j + 8, j + 16 and j + 24 from its lowest bits up.
    """
    quarters = q.reshape(q.shape[0], -1, 4, 8)
    packed: np.ndarray = (
        quarters[:, :, 0]
        | (quarters[:, :, 1] << 2)
        | (quarters[:, :, 2] << 4)
        | (quarters[:, :, 3] << 6)
    )
    return packed.reshape(q.shape[0], -1)


Planes = dict[str, np.ndarray]


def _half_into(plane: np.ndarray, blocks: np.ndarray, start: int) -> None:
    """Copies the float16 at byte `start` of each block; float32 where a row is a single block."""
    plane[:] = np.ascontiguousarray(blocks[:, start : start + 2]).view("<f2").reshape(plane.shape)


def _bytes_into(plane: np.ndarray, blocks: np.ndarray, start: int, stop: int) -> None:
    """Copies bytes start to stop of each block, which are the plane's bytes already."""
    plane.view(np.uint8).reshape(len(blocks), -1)[:] = blocks[:, start:stop]


def _fill_q4_0(blocks: np.ndarray, planes: Planes) -> None:
    _half_into(planes["scale"], blocks, 0)
    _bytes_into(planes["nibble"], blocks, 2, 18)


def _fill_q4_1(blocks: np.ndarray, planes: Planes) -> None:
    _half_into(planes["scale"], blocks, 0)
    _half_into(planes["min"], blocks, 2)
    _bytes_into(planes["nibble"], blocks, 4, 20)


def _fill_q5_0(blocks: np.ndarray, planes: Planes) -> None:
    _half_into(planes["scale"], blocks, 0)
    _bytes_into(planes["bit"], blocks, 2, 6)
    _bytes_into(planes["nibble"], blocks, 6, 22)


def _fill_q5_1(blocks: np.ndarray, planes: Planes) -> None:
    _half_into(planes["scale"], blocks, 0)
    _half_into(planes["min"], blocks, 2)
    _bytes_into(planes["bit"], blocks, 4, 8)
    _bytes_into(planes["nibble"], blocks, 8, 24)


def _fill_q8_0(blocks: np.ndarray, planes: Planes) -> None:
    _half_into(planes["scale"], blocks, 0)
    _bytes_into(planes["int8"], blocks, 2, 34)


def _fill_k_tail(blocks: np.ndarray, planes: Planes) -> None:
    """d, dmin and the 12 bytes of scales, in which Q4_K and Q5_K agree."""
    _bytes_into(planes["d"], blocks, 0, 4)
    _bytes_into(planes["scales"], blocks, 4, 16)


def _regroup_nibbles(packed: np.ndarray) -> np.ndarray:
    """uint8 [n, runs, 32], 64 columns a run, the first 32 low -> uint8 [n, runs * 32].

    There, 32 columns lie in 16 bytes.
    """
    first, second = packed[:, :, :16], packed[:, :, 16:]
    out = np.empty((packed.shape[0], packed.shape[1], 2, 16), dtype=np.uint8)
    np.bitwise_or(first & 0x0F, second << 4, out=out[:, :, 0])
    np.bitwise_or(first >> 4, second & 0xF0, out=out[:, :, 1])
    return out.reshape(packed.shape[0], -1)


def _fill_q4_k(blocks: np.ndarray, planes: Planes) -> None:
    _fill_k_tail(blocks, planes)
    planes["nibble"][:] = _regroup_nibbles(blocks[:, 16:].reshape(-1, 4, 32)).reshape(
        planes["nibble"].shape
    )


def _fill_q5_k(blocks: np.ndarray, planes: Planes) -> None:
    _fill_k_tail(blocks, planes)
    planes["nibble"][:] = _regroup_nibbles(blocks[:, 48:].reshape(-1, 4, 32)).reshape(
        planes["nibble"].shape
    )
    high = gguf_blocks.bits(blocks[:, None, 16:48], 1).reshape(len(blocks), 256)
    planes["bit"][:] = pack_bits(high).reshape(planes["bit"].shape)


def _fill_q6_k(blocks: np.ndarray, planes: Planes) -> None:
    low = gguf_blocks.nibbles(blocks[:, :128].reshape(-1, 2, 64))
    high = gguf_blocks.bits(blocks[:, 128:192].reshape(-1, 2, 32), 2).reshape(-1, 256)
    planes["nibble"][:] = pack_nibbles(low).reshape(planes["nibble"].shape)
    planes["pair"][:] = pack_pairs(high).reshape(planes["pair"].shape)
    _bytes_into(planes["scale"], blocks, 192, 208)
    _half_into(planes["d"], blocks, 208)


def _fill_q3_k(blocks: np.ndarray, planes: Planes) -> None:
    q = (gguf_blocks.decode(ggml_types.Q3_K, blocks).q + np.int8(32)).view(np.uint8)
    planes["nibble"][:] = pack_nibbles(q & 0x0F).reshape(planes["nibble"].shape)
    planes["pair"][:] = pack_pairs(q >> 4).reshape(planes["pair"].shape)
    planes["scale"][:] = gguf_blocks.q3_k_scales(blocks[:, 96:108]).reshape(planes["scale"].shape)
    _half_into(planes["d"], blocks, 108)


def _fill_iq4_xs(blocks: np.ndarray, planes: Planes) -> None:
    _bytes_into(planes["scales"], blocks, 0, 8)
    _bytes_into(planes["nibble"], blocks, 8, 136)


def _fill_q2_k(blocks: np.ndarray, planes: Planes) -> None:
    w = (
        gguf_blocks.decode(ggml_types.Q2_K, blocks)
        .values()
        .reshape(*planes["scale"].shape, layouts.MIN_GROUP)
    )
    round_to_int8(w, planes)


def round_to_int8(w: np.ndarray, planes: Planes) -> None:
    """Fills the planes of INT8 with the scales that take each group's largest value to 127.

    w: float32 [rows, groups, columns of a group].
    """
    scale = (np.abs(w).max(axis=-1) / 127).astype(planes["scale"].dtype)
    planes["scale"][:] = scale
    divisor = np.where(scale == 0, 1, scale).astype(np.float32)[..., None]
    planes["int8"][:] = np.clip(np.rint(w / divisor), -127, 127).reshape(planes["int8"].shape)


# GGUF type -> layout, how to fill it, and whether every weight keeps its exact value.
_BLOCK_PACKERS: dict[str, tuple[Layout, Callable[[np.ndarray, Planes], None], bool]] = {
    "Q4_0": (Layout.INT4, _fill_q4_0, True), "Q4_1": (Layout.INT4_MIN, _fill_q4_1, True),
    "Q5_0": (Layout.INT5, _fill_q5_0, True), "Q5_1": (Layout.INT5_MIN, _fill_q5_1, True),
    "Q8_0": (Layout.INT8, _fill_q8_0, True),
    "Q3_K": (Layout.Q6_K, _fill_q3_k, True), "Q4_K": (Layout.Q4_K, _fill_q4_k, True),
    "Q5_K": (Layout.Q5_K, _fill_q5_k, True), "Q6_K": (Layout.Q6_K, _fill_q6_k, True),
    "IQ4_NL": (Layout.IQ4_NL, _fill_q4_0, True), "IQ4_XS": (Layout.IQ4_XS, _fill_iq4_xs, True),
    "Q2_K": (Layout.INT8, _fill_q2_k, False),
}  # fmt: skip
