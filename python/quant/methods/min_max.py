"""Min-max quantization: each group's scale (and offset) just covers its least and largest weight.

Computed in float32. The scale is rounded to its stored type *before* the weights are rounded to it,
so the stored form is exactly what was optimised for. Rows are taken in slabs: memory beside input
and output stays small.
"""

import torch

from python.checkpoint.quantized import QuantizedTensor, scale_dtype
from python.quant.methods.slabs import quantize_in_slabs


def quantize_min_max(
    weight: torch.Tensor, *, bits: int, group: int, symmetric: bool, device: str = "cpu"
) -> QuantizedTensor:
    """Quantizes weight [rows, columns], finite, of any float type; `group` divides the columns."""
    dtype = scale_dtype(weight.shape[1], group)

    def fit(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        if symmetric:
            return symmetric_scale(groups, bits).to(dtype), None
        return asymmetric_scale(groups, bits, dtype)

    return quantize_in_slabs(
        weight, fit, bits=bits, group=group, symmetric=symmetric, device=device
    )


def symmetric_scale(groups: torch.Tensor, bits: int) -> torch.Tensor:
    """[..., group] -> [...]: the weight of largest magnitude lands on the level -2^(bits-1).

    There are more levels below zero than above, so the scale takes the sign of minus that weight
    (as in GGML's Q4_0). For 8 bits the gain is nothing and levels -127 to 127 keep q and -q alike.
    """
    if bits == 8:
        return divide(groups.abs().amax(dim=-1), 127)
    low, high = torch.aminmax(groups, dim=-1)
    extreme = torch.where(high > -low, high, low)
    return extreme / -(1 << bits - 1)


def asymmetric_scale(
    groups: torch.Tensor, bits: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """[..., group] -> scale and offset [...]: the minimum on the lowest level, the maximum on the top.

    Both are representable, together with the offset of the lowest level (see `exact_offsets`).
    """
    low, high = torch.aminmax(groups, dim=-1)
    scale = divide(high - low, (1 << bits) - 1)
    return exact_offsets(scale, low, bits, dtype)


def exact_offsets(
    scale: torch.Tensor, low: torch.Tensor, bits: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds scale and low, float32 [...], to a `dtype` scale and offset = low + 2^(bits-1) * scale.

    4 bits: offset and low are both of `dtype`, exactly, for the store keeps the one and the packed
    layout the other. That is so when all of them lie on the coarsest of their grids. 8 bits: offset
    is a multiple of scale, in float32, for the store keeps an integer zero point.
    """
    zero_level = 1 << bits - 1
    if bits == 8:
        # A group of equal weights has no range; one step is their common size then.
        scale = torch.where(scale == 0, low.abs(), scale).to(dtype)
        step = scale.to(torch.float32)
        zero_point = (torch.round(low / torch.where(step == 0, 1.0, step)) + zero_level).clamp(
            -127, 127
        )
        return scale, zero_point * step
    span = zero_level * scale.to(dtype).to(torch.float32)
    grid = torch.maximum(_spacing(low, dtype), _spacing(low + span, dtype))
    grid = torch.maximum(grid, zero_level * _spacing(span / zero_level, dtype))
    low = torch.round(low / grid) * grid
    span = torch.round(span / grid) * grid
    return (span / zero_level).to(dtype), (low + span).to(dtype)


def divide(values: torch.Tensor, divisor: int) -> torch.Tensor:
    """The nearest float32 to values / divisor.

    By a number PyTorch does not divide on CUDA:
    it multiplies by the reciprocal, and the CPU's scales differ.
    """
    return values / torch.full((), divisor, dtype=values.dtype, device=values.device)


def _spacing(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The distance between neighbouring numbers of `dtype` at these magnitudes, float32."""
    info = torch.finfo(dtype)
    _, exponent = torch.frexp(
        values.abs().clamp_min(info.tiny)
    )  # magnitude within 2^(exponent-1) to 2^exponent
    return torch.ldexp(torch.full_like(values, info.eps), exponent - 1)
