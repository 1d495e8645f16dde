"""HQQ, half-quadratic quantization: optimizes each group's scale, or scale and zero, without data.

Source: Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (2023). The
error under a norm that forgives outliers (p < 1) is split into an error that is shrunk and a rest
that is fitted by least squares:

    q = round((w - offset) / scale);  e = shrink(w - (scale * q + offset));  fit scale, offset to w
    - e

There the scale stays that of min-max; here both are fitted, and each group keeps the best of all
steps, so the result is never worse than min-max under the same norm. Computed in float32, in slabs
of rows, on any device.
"""

from dataclasses import dataclass

import torch

from python.checkpoint.quantized import QuantizedTensor, scale_dtype
from python.quant.methods import min_max
from python.quant.methods.slabs import levels, quantize_in_slabs

_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class Shrinkage:
    """The p-norm and its half-quadratic weight: beta grows by `growth` each step.

    p = 2 is plain least squares.
    """

    p: float = 0.7
    beta: float = 10.0
    growth: float = 1.01


def quantize_hqq(
    weight: torch.Tensor,
    *,
    bits: int,
    group: int,
    shrinkage: Shrinkage | None = None,
    device: str = "cpu",
) -> QuantizedTensor:
    """Asymmetric: scale and zero optimised. weight [rows, columns], finite."""
    settings = shrinkage or Shrinkage()
    dtype = scale_dtype(weight.shape[1], group)

    def fit(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        scale, offset = min_max.asymmetric_scale(groups, bits, dtype)
        scale, offset = _optimise(groups, scale.float(), offset.float(), bits, settings)
        return min_max.exact_offsets(scale, offset - (1 << bits - 1) * scale, bits, dtype)

    return quantize_in_slabs(weight, fit, bits=bits, group=group, symmetric=False, device=device)


def quantize_hqq_scale(
    weight: torch.Tensor, *, bits: int, group: int, device: str = "cpu"
) -> QuantizedTensor:
    """Symmetric: the scale alone, by least squares. weight [rows, columns], finite."""
    dtype = scale_dtype(weight.shape[1], group)

    def fit(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        scale = min_max.symmetric_scale(groups, bits)
        return _optimise_scale(groups, scale, bits).to(dtype), None

    return quantize_in_slabs(weight, fit, bits=bits, group=group, symmetric=True, device=device)


def _norm(error: torch.Tensor, p: float) -> torch.Tensor:
    """Sum of |error|^p over each group; the common root does not change which is smaller."""
    return error.abs().clamp_min(1e-30).pow(p).sum(dim=-1)


def _shrink(error: torch.Tensor, p: float, beta: float) -> torch.Tensor:
    """The proximal step of |.|^p: sign(x) * max(0, |x| - |x|^(p-1) / beta)."""
    size = error.abs()
    return error.sign() * torch.relu(size - size.clamp_min(1e-30).pow(p - 1) / beta)


def _optimise(
    groups: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, bits: int, shrinkage: Shrinkage
) -> tuple[torch.Tensor, torch.Tensor]:
    """Alternates between levels and a fit of scale and offset; returns each group's best."""
    # The norm's weight is in units of the weights: measure them in the group's own step.
    unit = torch.where(scale == 0, 1.0, scale)
    best_scale, best_offset = scale, offset
    best = torch.full_like(scale, torch.inf)
    beta = shrinkage.beta
    for _ in range(_STEPS):
        q = levels(groups, scale, offset, bits)
        error = (groups - q * scale.unsqueeze(-1) - offset.unsqueeze(-1)) / unit.unsqueeze(-1)
        norm = _norm(error, shrinkage.p)
        better = norm < best  # no group ends the others' steps: slabs differ from device to device
        best = torch.where(better, norm, best)
        best_scale = torch.where(better, scale, best_scale)
        best_offset = torch.where(better, offset, best_offset)
        target = groups
        if shrinkage.p != 2:
            target = groups - _shrink(error, shrinkage.p, beta) * unit.unsqueeze(-1)
        scale, offset = _fit_line(q, target, scale)
        beta *= shrinkage.growth
    return best_scale, best_offset


def _fit_line(
    q: torch.Tensor, target: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Least squares of target = scale * q + offset for each group; one level: the scale stays."""
    mean_q, mean_t = q.mean(dim=-1), target.mean(dim=-1)
    centred = q - mean_q.unsqueeze(-1)
    variance = centred.square().sum(dim=-1)
    fitted = (centred * target).sum(dim=-1) / variance.clamp_min(1e-30)
    scale = torch.where(variance > 0, fitted, scale)
    return scale, mean_t - scale * mean_q


def _optimise_scale(groups: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """The scale of least squared error among starts around min-max's, each refined."""
    best_scale = scale
    best = torch.full_like(scale, torch.inf)
    for start in (1.0, -1.0, 0.9, -0.9, 0.8, -0.8):
        candidate = scale * start
        for _ in range(4):
            q = levels(groups, candidate, None, bits)
            norm = (groups - q * candidate.unsqueeze(-1)).square().sum(dim=-1)
            better = norm < best
            best = torch.where(better, norm, best)
            best_scale = torch.where(better, candidate, best_scale)
            size = q.square().sum(dim=-1)
            candidate = torch.where(
                size > 0, (q * groups).sum(dim=-1) / size.clamp_min(1e-30), candidate
            )
    return best_scale
