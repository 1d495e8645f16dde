"""A quantized matrix in canonical form, between quantizing and the store or the packed layouts.

    w[r, c] = scale[r, c // group] * q[r, c] + offset[r, c // group]

This is torchao's convention for Int4Tensor: signed numbers and an offset in the weight's own units.
Both are exact here: what is dequantized from it is what every later form holds.
"""

from dataclasses import dataclass

import numpy as np
import torch

from python.checkpoint import torchao_metadata
from python.checkpoint.tensor import IntegerTensor, TorchaoTensor
from python.console.errors import UserError

BITS = (4, 8)


@dataclass(frozen=True, kw_only=True)
class QuantizedTensor:
    """A quantized matrix in the canonical form.

    q: int8 [rows, columns], within -2^(bits-1) to 2^(bits-1) - 1.
    scale, offset: [rows, columns / group].

    scale is float16, or float32 with one scale a row (group = columns). offset has the scale's type
    with 4 bits and is float32, a multiple of the scale by an integer, with 8; None where the
    quantization is symmetric.

    exact_groups: how many groups dequantize to the weights that they were made from, bit for bit in
    their type; None where nobody counted.
    """

    bits: int
    group: int
    q: torch.Tensor
    scale: torch.Tensor
    offset: torch.Tensor | None
    exact_groups: int | None = None

    def __post_init__(self) -> None:
        if self.bits not in BITS or self.q.dtype != torch.int8 or self.q.ndim != 2:
            raise ValueError(f"{self.bits} bits in {self.q.dtype} of {self.q.ndim} dimensions")
        if self.group < 1 or self.columns % self.group:
            raise ValueError(f"group {self.group} does not divide {self.columns}")
        shape = (self.rows, self.columns // self.group)
        if self.scale.shape != shape or self.scale.dtype != scale_dtype(self.columns, self.group):
            raise ValueError(f"scale {tuple(self.scale.shape)} of {self.scale.dtype}, not {shape}")
        if self.offset is not None and (
            self.offset.shape != shape
            or self.offset.dtype != offset_dtype(self.bits, self.columns, self.group)
        ):
            raise ValueError(
                f"offset {tuple(self.offset.shape)} of {self.offset.dtype}, not {shape}"
            )

    @property
    def rows(self) -> int:
        return self.q.shape[0]

    @property
    def columns(self) -> int:
        return self.q.shape[1]

    def dequantize(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Rows start to stop as float32 [rows, columns]."""
        rows = slice(start, stop)
        q = self.q[rows].to(torch.float32)  # q: [rows, columns]
        w = q.reshape(q.shape[0], -1, self.group)
        w *= self.scale[rows].to(torch.float32).unsqueeze(-1)
        if self.offset is not None:
            w += self.offset[rows].to(torch.float32).unsqueeze(-1)
        return w.reshape(q.shape)


@dataclass(frozen=True, kw_only=True)
class PairedTensor:
    """A 4-bit matrix whose q lies in pairs, as in an Int4Tensor: a `QuantizedTensor` once unpacked.

    pairs: uint8 [rows, columns / 2], signed nibbles, the even column in the low half; scale,
    offset: [rows, columns / group], those of the canonical form.
    """

    group: int
    pairs: torch.Tensor
    scale: torch.Tensor
    offset: torch.Tensor | None

    @property
    def rows(self) -> int:
        return self.pairs.shape[0]

    @property
    def columns(self) -> int:
        return 2 * self.pairs.shape[1]

    def unpack(self, start: int = 0, stop: int | None = None) -> QuantizedTensor:
        """Rows start to stop in canonical form."""
        rows = slice(start, stop)
        return QuantizedTensor(
            bits=4,
            group=self.group,
            q=_unpack_pairs(self.pairs[rows]),
            scale=self.scale[rows],
            offset=None if self.offset is None else self.offset[rows],
        )

    def dequantize(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Rows start to stop as float32 [rows, columns]."""
        return self.unpack(start, stop).dequantize()


def scale_dtype(columns: int, group: int) -> torch.dtype:
    """The type in which scales are kept: float16 for groups, float32 for one scale a row."""
    return torch.float32 if group == columns else torch.float16


def offset_dtype(bits: int, columns: int, group: int) -> torch.dtype:
    """The type of offsets: the scale's, but float32 where they are multiples of an 8-bit scale."""
    return torch.float32 if bits == 8 else scale_dtype(columns, group)


def to_torchao(tensor: QuantizedTensor) -> TorchaoTensor:
    """As torchao stores it: Int4Tensor for 4 bits, IntxUnpackedToInt8Tensor for 8. Exact.

    Int4Tensor: two columns a byte, the even one low; scale and zero_point [groups, rows], w = q *
    scale + zero_point. IntxUnpackedToInt8Tensor: w = (q - zero_point) * scale.
    """
    shape = (tensor.rows, tensor.columns)
    class_name, attributes = torchao_metadata.attributes(
        tensor.bits, shape, tensor.group, tensor.scale.dtype
    )
    if tensor.bits == 4:
        offset = torch.zeros_like(tensor.scale) if tensor.offset is None else tensor.offset
        parts = {
            "qdata": _pack_pairs(tensor.q),
            "scale": tensor.scale.t().contiguous(),
            "zero_point": offset.t().contiguous(),
        }
    else:
        zero_point = torch.zeros(tensor.scale.shape, dtype=torch.int8)
        if tensor.offset is not None:
            zero_point = _integer_zero_point(tensor)
        parts = {"qdata": tensor.q, "scale": tensor.scale, "zero_point": zero_point}
    return TorchaoTensor(class_name=class_name, parts=parts, attributes=attributes)


def from_torchao(name: str, tensor: TorchaoTensor) -> QuantizedTensor:
    """The inverse of `to_torchao`, of untrusted parts.

    Raises UserError for what the canonical form cannot hold.
    """
    if tensor.class_name == "Int4Tensor":
        return pairs_from_int4(name, tensor).unpack()
    if tensor.class_name == "IntxUnpackedToInt8Tensor":
        return _from_intx(name, tensor)
    raise UserError(f"{name}: {tensor.class_name} is not read")


def from_integers(tensor: IntegerTensor) -> QuantizedTensor | None:
    """The canonical form of integers under scales, None where it cannot hold them exactly."""
    form, columns = tensor.form, tensor.q.shape[1]
    if form.zero != "none" or form.bits == 5:
        return None
    scale = tensor.scale.to(scale_dtype(columns, form.group))
    if not torch.equal(scale.to(torch.float32), tensor.scale.to(torch.float32)):
        return None
    bits = 4 if form.bits <= 4 else 8
    return QuantizedTensor(bits=bits, group=form.group, q=tensor.q, scale=scale, offset=None)


def pairs_from_int4(name: str, tensor: TorchaoTensor) -> PairedTensor:
    """The untrusted parts of an Int4Tensor, checked, its q as they are stored.

    Raises UserError as `from_torchao` does.
    """
    group = _group(name, tensor)
    qdata = _part(name, tensor, "qdata", (torch.uint8, torch.int8), 2)
    shape = (qdata.shape[0], 2 * qdata.shape[1])
    scale = _part(name, tensor, "scale", (torch.float16, torch.bfloat16, torch.float32), 2).t()
    offset = _part(
        name, tensor, "zero_point", (torch.float16, torch.bfloat16, torch.float32), 2
    ).t()
    if "act_pre_scale" in tensor.parts:
        raise UserError(f"{name}: an Int4Tensor with act_pre_scale is not read")
    scale, kept = _checked_scales(name, 4, group, scale, offset, shape)
    return PairedTensor(
        group=group, pairs=qdata.contiguous().view(torch.uint8), scale=scale, offset=kept
    )


def _from_intx(name: str, tensor: TorchaoTensor) -> QuantizedTensor:
    group = _group(name, tensor)
    q = _part(name, tensor, "qdata", (torch.int8,), 2)
    scale = _part(name, tensor, "scale", (torch.float16, torch.bfloat16, torch.float32), 2)
    zero = _part(
        name, tensor, "zero_point", (torch.int8, torch.float16, torch.bfloat16, torch.float32), 2
    )
    bits = {"int4": 4, "int8": 8}.get(_dtype_attribute(tensor, "target_dtype") or "")
    if bits is None:
        raise UserError(
            f"{name}: target_dtype {tensor.attributes.get('target_dtype')!r:.60} is not read (use "
            "int4 or int8)"
        )
    if zero.shape != scale.shape:
        raise UserError(f"{name}: zero_point is {tuple(zero.shape)}, scale {tuple(scale.shape)}")
    offset = -zero.to(torch.float32) * scale.to(torch.float32)
    if bits < 8:  # int8 holds nothing else than 8 bits
        _check_range(name, q, bits)
    scale, kept = _checked_scales(name, bits, group, scale, offset, tuple(q.shape))
    return QuantizedTensor(bits=bits, group=group, q=q, scale=scale, offset=kept)


def _check_range(name: str, q: torch.Tensor, bits: int) -> None:
    low, high = (int(value) for value in torch.aminmax(q))
    if low < -(1 << bits - 1) or high >= 1 << bits - 1:
        raise UserError(f"{name}: holds {low} to {high}, which are not {bits} bits")


def _checked_scales(
    name: str, bits: int, group: int, scale: torch.Tensor, offset: torch.Tensor,
    shape: tuple[int, ...],
) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """Scale and offset [rows, columns / group] in canonical types; an offset of zeros is None."""
    rows, columns = shape
    if not 1 <= group <= columns or columns % group:
        raise UserError(f"{name}: group {group} does not divide {columns} columns")
    for part_name, part in (("scale", scale), ("zero_point", offset)):
        if part.shape != (rows, columns // group):
            raise UserError(
                f"{name}: {part_name} has {tuple(part.shape)}, {(rows, columns // group)} are "
                "needed"
            )
    kept = None
    if any_nonzero(offset):
        kept = _exactly(name, "zero_point", offset, offset_dtype(bits, columns, group))
    return _exactly(name, "scale", scale, scale_dtype(columns, group)), kept


def _exactly(name: str, part: str, values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The values in `dtype`; refused where that would change one of them, or one is no number."""
    converted = values.contiguous().to(dtype)
    if values.dtype == dtype:
        kept = not torch.isnan(torch.aminmax(converted)[0])
    else:
        kept = torch.equal(converted.to(torch.float32), values.to(torch.float32))
    if not kept:
        raise UserError(
            f"{name}: {part} has values that float16 cannot hold exactly; quantize the checkpoint "
            "again"
        )
    return converted


def any_nonzero(values: torch.Tensor) -> bool:
    """torch.any, in a twentieth of its time for float16; a NaN is not zero. `values` not empty."""
    low, high = torch.aminmax(values)
    return bool(low != 0) or bool(high != 0)


def _group(name: str, tensor: TorchaoTensor) -> int:
    block = tensor.attributes.get("block_size")
    if (
        not isinstance(block, list)
        or len(block) != 2
        or block[0] != 1
        or type(block[1]) is not int
        or block[1] < 1
    ):
        raise UserError(f"{name}: block_size {block!r:.60} is not read (use [1, group])")
    return block[1]


def _part(
    name: str, tensor: TorchaoTensor, part: str, dtypes: tuple[torch.dtype, ...], rank: int
) -> torch.Tensor:
    value = tensor.parts.get(part)
    if value is None or value.dtype not in dtypes or value.ndim != rank or value.numel() == 0:
        found = "missing" if value is None else f"{value.dtype} {tuple(value.shape)}"
        raise UserError(f"{name}: {part} of the {tensor.class_name} is {found}")
    return value


def _dtype_attribute(tensor: TorchaoTensor, key: str) -> str | None:
    value = tensor.attributes.get(key)
    data = value.get("_data") if isinstance(value, dict) else None
    return data if isinstance(data, str) else None


def _pack_pairs(q: torch.Tensor) -> torch.Tensor:
    """int8 [rows, columns] of -8 to 7 -> uint8 [rows, columns / 2], even columns in the low half."""
    pairs = q.numpy().view(np.uint8)
    packed = (pairs[:, 0::2] & 0x0F) | (pairs[:, 1::2] << 4)
    return torch.from_numpy(packed)


def _unpack_pairs(packed: torch.Tensor) -> torch.Tensor:
    """The inverse of `_pack_pairs`."""
    data = packed.numpy()
    q = np.empty((data.shape[0], data.shape[1] * 2), dtype=np.int8)
    q[:, 0::2] = (data << 4).view(np.int8) >> 4
    q[:, 1::2] = data.view(np.int8) >> 4
    return torch.from_numpy(q)


def _integer_zero_point(tensor: QuantizedTensor) -> torch.Tensor:
    """The zero_point with -zero_point * scale = offset; with 8 bits it is an integer."""
    assert tensor.offset is not None
    scale, offset = tensor.scale.to(torch.float32), tensor.offset.to(torch.float32)
    zero = torch.where(scale == 0, 0.0, -offset / scale).round()
    if not torch.equal(-zero * scale, offset) or zero.abs().max() > 128:
        raise ValueError("the offset is no multiple of the scale")
    return zero.to(torch.int8)
