"""Lattice search: the scales of a matrix that was trained for 4 bits and then stored as numbers.

Quantization-aware training leaves weights w = round(scale * q), q from -8 to 7, each rounded to the
type of the file, and not the scales. Min-max finds a scale only where the largest weight of a group
lies on the level that min-max puts it on. Here the largest weight is tried on every level k from 8
down to 1. Each guess names the level of every weight, and each weight then bounds the scale from
both sides: scale * q must round to w. Any stored number between all bounds gives the group back,
bit for bit; if the largest weight lies on level k and such a number exists, it is found.

A group that lies on no lattice gets the nearest scale in the sense of least squares.
"""

import torch

from python.checkpoint.quantized import QuantizedTensor, scale_dtype
from python.quant.methods import min_max
from python.quant.methods.slabs import SLAB_WEIGHTS, levels, quantize_in_slabs

BITS = 4
_LEVELS = (8, 7, 6, 5, 4, 3, 2, 1)  # of the largest weight, the usual ones first
_REFINEMENTS = 3


def quantize_lattice(weight: torch.Tensor, *, group: int, device: str = "cpu") -> QuantizedTensor:
    """weight [rows, columns], finite, of any float type: the type whose rounding is undone."""
    dtype, stored = weight.dtype, scale_dtype(weight.shape[1], group)

    def fit(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return lattice_scale(groups, dtype, stored), None

    return quantize_in_slabs(weight, fit, bits=BITS, group=group, symmetric=True, device=device)


def exact_groups(weight: torch.Tensor, quantized: QuantizedTensor) -> int:
    """How many groups of weight [rows, columns] dequantize to it, bit for bit in its own type."""
    step = max(1, SLAB_WEIGHTS["cpu"] // quantized.columns)
    exact = 0
    for start in range(0, quantized.rows, step):
        stop = min(quantized.rows, start + step)
        same = quantized.dequantize(start, stop).to(weight.dtype) == weight[start:stop]
        exact += int(same.reshape(-1, quantized.group).all(dim=-1).sum())
    return exact


def lattice_scale(groups: torch.Tensor, dtype: torch.dtype, stored: torch.dtype) -> torch.Tensor:
    """groups [..., group], float32 values of `dtype` -> scales [...] of `stored`."""
    flat = groups.reshape(-1, groups.shape[-1])  # [n, group]
    scale = torch.empty(flat.shape[0], dtype=stored, device=flat.device)
    left = torch.arange(flat.shape[0], device=flat.device)
    for level in _LEVELS:
        found, exact = _scale_at(flat[left], level, dtype, stored)
        scale[left] = found
        left = left[~exact]
        if left.numel() == 0:
            return scale.reshape(groups.shape[:-1])
    scale[left] = _nearest_scale(flat[left], stored)
    return scale.reshape(groups.shape[:-1])


def _scale_at(
    groups: torch.Tensor, level: int, dtype: torch.dtype, stored: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scales [n] of groups [n, group] if the largest weight lies on `level`.

    And for which of them that scale gives the group back: bool [n].

    Scales of bfloat16 come first, since training keeps them in the type of its weights; and two of
    each type, for the least number of a range may round away from the weight that bounds it.
    """
    low, high = _scale_bounds(groups, level, dtype)
    scale = torch.zeros_like(low, dtype=stored)
    exact = torch.zeros_like(low, dtype=torch.bool)
    left = (low <= high).nonzero().squeeze(-1)
    for kind, following in ((torch.bfloat16, 0), (torch.bfloat16, 1), (stored, 0), (stored, 1)):
        if left.numel() == 0:
            break
        tried = groups[left]
        candidate = _number_from(low[left], kind, following).to(stored)
        if level == 1 << BITS - 1:
            candidate = _away_from_extreme(tried, candidate)
        good = _is_exact(tried, candidate, dtype)
        scale[left] = candidate
        exact[left] = good
        left = left[~good]
    return scale, exact


def _scale_bounds(
    groups: torch.Tensor, level: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Between which numbers [n] the magnitude of the scale of groups [n, group] must lie."""
    size = groups.abs()
    guess = min_max.divide(size.amax(dim=-1), level)
    q = torch.round(size / torch.where(guess == 0, 1.0, guess).unsqueeze(-1))
    below, above = _rounding_bounds(size, dtype)
    low = torch.where(q == 0, 0.0, below / q).amax(dim=-1)
    # A zero bounds nothing; a group of zeros takes the scale zero.
    high = torch.where(q == 0, torch.inf, above / q).amin(dim=-1)
    return low, torch.where(guess == 0, 0.0, high)


def _rounding_bounds(size: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """What may round to size, float32 and not negative, in `dtype`.

    From half way to the number below to half way to the one above. Float32 has no numbers between;
    its neighbours do.
    """
    bits = size.to(dtype).view(torch.int32 if dtype == torch.float32 else torch.int16)
    below, above = (bits - 1).clamp_min(0).view(dtype).float(), (bits + 1).view(dtype).float()
    if dtype == torch.float32:
        return below, above
    return (size + below) / 2, (size + above) / 2


def _number_from(low: torch.Tensor, kind: torch.dtype, following: int) -> torch.Tensor:
    """The least number of type `kind` that is not below low [n], or one `following` it."""
    nearest = low.to(kind)
    bits = nearest.view(torch.int32 if kind == torch.float32 else torch.int16)
    return (bits + (nearest.float() < low) + following).view(kind)


def _away_from_extreme(groups: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Only -8 is a level, not 8: the scale takes the sign of minus the weight that lies there."""
    low, high = torch.aminmax(groups, dim=-1)
    return torch.where(high > -low, -scale, scale)


def _is_exact(groups: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """bool [n]: which of groups [n, group] their nearest levels give back in `dtype`."""
    values = levels(groups, scale, None, BITS) * scale.float().unsqueeze(-1)
    return (values.to(dtype).float() == groups).all(dim=-1)


def _nearest_scale(groups: torch.Tensor, stored: torch.dtype) -> torch.Tensor:
    """The better of two starts, the extreme on -8 and the largest on 7, by least squares."""
    starts = (min_max.symmetric_scale(groups, BITS), min_max.divide(groups.abs().amax(dim=-1), 7))
    best = torch.full_like(starts[0], torch.inf)
    chosen = starts[0].to(stored)
    for scale in starts:
        for _ in range(_REFINEMENTS + 1):
            kept = scale.to(stored)
            q = levels(groups, kept, None, BITS)
            error = (groups - q * kept.float().unsqueeze(-1)).square_().sum(dim=-1)
            better = error < best
            best = torch.where(better, error, best)
            chosen = torch.where(better, kept, chosen)
            size = q.square().sum(dim=-1)
            fitted = (q * groups).sum(dim=-1) / size.clamp_min(1e-30)
            scale = torch.where(size > 0, fitted, scale)
    return chosen
