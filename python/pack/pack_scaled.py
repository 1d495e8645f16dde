"""Integers and small floating-point numbers under scales, in the layouts that kernels read.

| from | layout | how |
|---|---|---|
| 2 to 4 bits, no zero point | INT4 | exact |
| 5 bits, no zero point | INT5 | exact |
| 6 to 8 bits, no zero point | INT8 | exact |
| 2 or 3 bits, zero points | INT4 | exact: q - zero has at most 4 bits |
| 4 bits, zero points | INT5 | exact: q - zero is within -16 and 15 |
| the same, smaller | INT4_MIN | the minimum -scale * zero is rounded to float16 |
| 4 bits, fractional zero points | INT4_MIN | likewise |
| 5 to 7 bits, zero points | INT8 | exact: q - zero has 8 bits |
| anything else | INT8 | rounded anew, 255 levels for every 32 columns |

Exact holds where float16 holds each scale, as it does the bfloat16 ones above 2^-17; a scale for a
whole row is float32 anyway. `PackedWeight.loss` says what was lost in truth.
"""

from dataclasses import replace

import numpy as np
import torch

from python.checkpoint import scaled_values
from python.checkpoint.tensor import (
    Float8Tensor,
    IntegerForm,
    IntegerTensor,
    TensorInfo,
)
from python.console.errors import UserError
from python.pack import layouts, pack
from python.pack.layouts import MIN_GROUP, Layout, PackedWeight, WeightShape

_SLAB_VALUES = 1 << 22
# What is added to q - zero so that the layout's numbers begin at 0.
_FROM_ZERO = {Layout.INT4: 8, Layout.INT4_MIN: 8, Layout.INT5: 16}


ScaledTensor = IntegerTensor | Float8Tensor


def kept_shape(
    info: TensorInfo, form: IntegerForm | None, *, allow_lossy: bool
) -> tuple[WeightShape, bool]:
    """The shape of a stored matrix in an artifact, and whether it holds all values exactly.

    form: of integers; allow_lossy: a smaller layout may be taken that rounds. Raises UserError
    where there is no layout.
    """
    if form is None and info.encoding != "F8_E4M3":
        return pack.kept_shape(info.encoding, *info.shape), pack.is_exact(info.encoding)
    layout, exact = (None, False) if form is None else _layout(form, allow_lossy=allow_lossy)
    group = MIN_GROUP if form is None else form.group
    if form is None or layout is None or not _has_layout(form):
        layout, group, exact = Layout.INT8, MIN_GROUP, False
    rows, columns = info.shape
    shape = WeightShape(layout=layout, rows=rows, columns=columns, group=group)
    shape.planes()
    return shape, exact


def _layout(form: IntegerForm, *, allow_lossy: bool) -> tuple[Layout | None, bool]:
    bits = form.bits
    if form.zero == "fraction":
        return (Layout.INT4_MIN if bits <= 4 else None), False
    if form.zero == "none":
        return (Layout.INT4 if bits <= 4 else Layout.INT5 if bits == 5 else Layout.INT8), True
    if bits == 4 and allow_lossy:
        return Layout.INT4_MIN, False
    if bits <= 4:
        return (Layout.INT4 if bits < 4 else Layout.INT5), True
    return (Layout.INT8, True) if bits < 8 else (None, False)


def _has_layout(form: IntegerForm) -> bool:
    """Whether the integers stay what they are."""
    return form.group % MIN_GROUP == 0 and _layout(form, allow_lossy=False)[0] is not None


def pack_scaled(name: str, tensor: ScaledTensor, shape: WeightShape) -> PackedWeight:
    """The tensor in a shape that `kept_shape` gave. Raises UserError, naming the weight."""
    try:
        if isinstance(tensor, IntegerTensor) and _has_layout(tensor.form):
            return _pack_integers(tensor, shape)
        return _round_anew(tensor, shape)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _pack_integers(tensor: IntegerTensor, shape: WeightShape) -> PackedWeight:
    packed = layouts.empty(shape)
    scale = tensor.scale.to(torch.float32)  # [rows, groups]
    zero = torch.zeros_like(scale) if tensor.zero is None else tensor.zero.to(torch.float32)
    with np.errstate(over="ignore"):
        packed.plane("scale")[:] = scale.numpy()
        if shape.layout is Layout.INT4_MIN:
            packed.plane("min")[:] = (scale * (-8 - zero)).numpy()
    for rows in _slabs(shape):
        q = tensor.q[rows].numpy()
        if shape.layout is not Layout.INT4_MIN and tensor.zero is not None:
            q = (q - np.repeat(tensor.zero[rows].numpy(), shape.group, axis=1)).astype(np.int8)
        _fill(packed, rows, q)
    return replace(packed, loss=_loss(tensor, packed))


def _fill(packed: PackedWeight, rows: slice, q: np.ndarray) -> None:
    """q: int8 [rows, columns], what the scale multiplies."""
    layout = packed.shape.layout
    if layout is Layout.INT8:
        packed.plane("int8")[rows] = q
        return
    codes = (q + np.int8(_FROM_ZERO[layout])).view(np.uint8)
    if layout is Layout.INT5:
        packed.plane("bit")[rows] = pack.pack_bits(codes >> 4)
        codes &= 0x0F
    packed.plane("nibble")[rows] = pack.pack_nibbles(codes)


def _loss(tensor: IntegerTensor, packed: PackedWeight) -> float:
    """The relative error that rounding of scales and minima made; 0.0 where none was rounded."""
    factor, constant = _changes(tensor, packed)
    if not factor.any() and not constant.any():
        return 0.0
    error = square = 0.0
    for rows in _slabs(packed.shape):
        groups = tensor.q[rows].numpy().reshape(*factor[rows].shape, -1)
        change = groups * factor[rows, :, None] + constant[rows, :, None]
        error += float(np.square(change).sum())
        square += float(scaled_values.dequantize(_rows(tensor, rows)).double().square().sum())
    return float(np.sqrt(error / square)) if square else 0.0


def _changes(tensor: IntegerTensor, packed: PackedWeight) -> tuple[np.ndarray, np.ndarray]:
    """By how much w = factor * q + constant has another factor and constant, [rows, groups]."""
    scale = tensor.scale.to(torch.float64).numpy()
    kept = packed.plane("scale").astype(np.float64)
    if not np.isfinite(kept).all():
        raise UserError(f"a scale of {np.abs(scale).max():.3g} is beyond float16")
    zero = 0.0 if tensor.zero is None else tensor.zero.to(torch.float64).numpy()
    constant = -kept * zero
    if packed.shape.layout is Layout.INT4_MIN:
        constant = packed.plane("min").astype(np.float64) + 8 * kept
    return kept - scale, constant + scale * zero


def _round_anew(tensor: ScaledTensor, shape: WeightShape) -> PackedWeight:
    """INT8 with the scale that takes the largest value of a group to 127."""
    packed = layouts.empty(shape)
    error = square = 0.0
    height = tensor.block[0] if isinstance(tensor, Float8Tensor) else 1
    for rows in _slabs(shape, height):
        w = scaled_values.dequantize(_rows(tensor, rows)).numpy()
        groups = w.reshape(w.shape[0], -1, shape.group)
        planes = {name: packed.plane(name)[rows] for name in ("int8", "scale")}
        pack.round_to_int8(groups, planes)
        q = planes["int8"].astype(np.float32).reshape(groups.shape)
        scale = planes["scale"].astype(np.float32)[..., None]
        error += float(np.square(q * scale - groups, dtype=np.float64).sum())
        square += float(np.square(w, dtype=np.float64).sum())
    return replace(packed, loss=float(np.sqrt(error / square)) if square else 0.0)


def _rows(tensor: ScaledTensor, rows: slice) -> ScaledTensor:
    """Some rows of a matrix, a multiple of an FP8 block's height."""
    if isinstance(tensor, IntegerTensor):
        zero = None if tensor.zero is None else tensor.zero[rows]
        return replace(tensor, q=tensor.q[rows], scale=tensor.scale[rows], zero=zero)
    height = tensor.block[0]
    blocks = slice(rows.start // height, -(-rows.stop // height))
    return replace(tensor, values=tensor.values[rows], scale=tensor.scale[blocks])


def _slabs(shape: WeightShape, height: int = 1) -> list[slice]:
    """Runs of rows, each a multiple of `height`."""
    step = max(1, _SLAB_VALUES // shape.columns // height) * height
    return [slice(start, min(shape.rows, start + step)) for start in range(0, shape.rows, step)]
