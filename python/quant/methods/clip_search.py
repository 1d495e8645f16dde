"""Least-squares scales: searches each group's clip ratio and fits the scale, weighted by column.

    minimise  sum over a group of importance * (w - (scale * q + offset))^2

over the ratio of min-max's range that is kept, each candidate refined by a weighted least-squares
fit to the levels that it gives. The importance of a column is the mean square of its input.
"""

import torch

from python.checkpoint.quantized import QuantizedTensor, scale_dtype
from python.quant.methods import min_max
from python.quant.methods.slabs import levels, quantize_in_slabs

_RATIOS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
# Shares of an asymmetric group's range that are left out at either end.
_LEFT_OUT = (0.0, 0.05, 0.1, 0.15)
_REFINEMENTS = 2


def quantize_least_squares(
    weight: torch.Tensor,
    importance: torch.Tensor,
    *,
    bits: int,
    group: int,
    symmetric: bool,
    device: str = "cpu",
) -> QuantizedTensor:
    """weight [rows, columns], finite; importance: float32 [columns], not negative."""
    dtype = scale_dtype(weight.shape[1], group)
    cost = importance.to(device).reshape(-1, group)  # [groups, group]

    def fit(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        if symmetric:
            return best_scale(groups, cost, bits, dtype), None
        return best_line(groups, cost, bits, dtype)

    return quantize_in_slabs(
        weight, fit, bits=bits, group=group, symmetric=symmetric, device=device
    )


def best_scale(
    groups: torch.Tensor, cost: torch.Tensor, bits: int, dtype: torch.dtype
) -> torch.Tensor:
    """groups [..., group], cost broadcast to it -> scale [...] of `dtype`."""
    start = min_max.symmetric_scale(groups, bits)
    best = torch.full_like(start, torch.inf)
    chosen = start.to(dtype)
    for candidate in scale_candidates(start):
        for _ in range(_REFINEMENTS + 1):
            stored = candidate.to(dtype)
            q = levels(groups, stored, None, bits)
            error = (groups - q * stored.float().unsqueeze(-1)).square_().mul_(cost).sum(dim=-1)
            better = error < best
            best = torch.where(better, error, best)
            chosen = torch.where(better, stored, chosen)
            weighted = q * cost
            size = (weighted * q).sum(dim=-1)
            fitted = (weighted * groups).sum(dim=-1) / size.clamp_min(1e-30)
            candidate = torch.where(size > 0, fitted, candidate)
    return chosen


def scale_candidates(start: torch.Tensor) -> list[torch.Tensor]:
    """Min-max's scale and smaller ones, of both signs: there is one level more below zero."""
    return [start * sign * ratio for ratio in _RATIOS for sign in (1, -1)]


def best_line(
    groups: torch.Tensor, cost: torch.Tensor, bits: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """groups [..., group], cost broadcast to it -> scale and offset [...] in their stored types."""
    low, _ = torch.aminmax(groups, dim=-1)
    best = torch.full_like(low, torch.inf)
    zero_level = 1 << bits - 1
    chosen, chosen_offset = min_max.asymmetric_scale(groups, bits, dtype)
    for scale, start in _line_candidates(groups, bits):
        for _ in range(_REFINEMENTS + 1):
            stored, offset = min_max.exact_offsets(scale, start, bits, dtype)
            q = levels(groups, stored, offset, bits)
            values = q * stored.float().unsqueeze(-1) + offset.float().unsqueeze(-1)
            error = (groups - values).square_().mul_(cost).sum(dim=-1)
            better = error < best
            best = torch.where(better, error, best)
            chosen = torch.where(better, stored, chosen)
            chosen_offset = torch.where(better, offset, chosen_offset)
            scale, fitted_offset = _fit_line(q, groups, cost, scale)
            start = fitted_offset - zero_level * scale
    return chosen, chosen_offset


def line_candidates(
    groups: torch.Tensor, bits: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """groups [..., group] -> scales and offsets [candidates, ...] in their stored types."""
    pairs = [
        min_max.exact_offsets(scale, start, bits, dtype)
        for scale, start in _line_candidates(groups, bits)
    ]
    return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])


def _line_candidates(groups: torch.Tensor, bits: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Scale and lowest value of ranges that leave out a part of either end."""
    low, high = torch.aminmax(groups, dim=-1)
    span = high - low
    steps = (1 << bits) - 1
    return [
        (min_max.divide(span * (1 - below - above), steps), low + span * below)
        for below in _LEFT_OUT
        for above in _LEFT_OUT
    ]


def _fit_line(
    q: torch.Tensor, groups: torch.Tensor, cost: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted least squares of groups = scale * q + offset; one level: the scale stays."""
    total = cost.sum(dim=-1).clamp_min(1e-30)
    mean_q = (q * cost).sum(dim=-1) / total
    mean_w = (groups * cost).sum(dim=-1) / total
    centred = (q - mean_q.unsqueeze(-1)) * cost
    variance = (centred * q).sum(dim=-1)
    fitted = (centred * groups).sum(dim=-1) / variance.clamp_min(1e-30)
    scale = torch.where(variance > 0, fitted, scale)
    return scale, mean_w - scale * mean_q
