"""For tests: the tensors that NVIDIA's ModelOpt stores of a matrix, from its published description.

Shares nothing with the readers.
"""

from __future__ import annotations

import torch

_GROUP = 16
_LARGEST_FP4, _LARGEST_FP8 = 6.0, 448.0
_FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
# Halfway between two neighbours; a number there goes to the even code, 0.75 and 1.75 and 3.5 up.
_HALFWAY = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
_UP = torch.tensor([0.75, 1.75, 3.5])


def fp8_parts(w: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """FP8: one float32 scale for all. w: float32 [rows, columns]. The parts, and their values."""
    scale = w.abs().max() / _LARGEST_FP8
    numbers = (w / scale).to(torch.float8_e4m3fn)
    parts = {"weight": numbers, "weight_scale": scale, "input_scale": torch.tensor(0.25)}
    return parts, numbers.float() * scale


def nvfp4_parts(w: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """NVFP4: an FP8 scale for 16 columns times a float32 one for all. As `fp8_parts`."""
    whole = w.abs().max() / (_LARGEST_FP4 * _LARGEST_FP8)
    groups = w.reshape(w.shape[0], -1, _GROUP)  # [rows, groups, 16]
    wanted = groups.abs().amax(-1) / (_LARGEST_FP4 * whole)
    scale = wanted.clamp(2.0**-9, _LARGEST_FP8).to(torch.float8_e4m3fn)
    step = (scale.float() * whole).unsqueeze(-1)
    codes = _codes(groups / step)
    pairs = codes.reshape(w.shape[0], -1, 2)
    parts = {
        "weight": pairs[..., 0] | pairs[..., 1] << 4,
        "weight_scale": scale,
        "weight_scale_2": whole,
        "input_scale": torch.tensor(0.5),
    }
    values = torch.cat([_FP4, -_FP4])[codes.long()] * step
    return parts, values.reshape(w.shape)


def _codes(numbers: torch.Tensor) -> torch.Tensor:
    """The nearest of the 16 numbers: a sign, and 3 bits that count from the smallest. uint8."""
    sizes = numbers.abs()
    places = torch.searchsorted(_HALFWAY, sizes).to(torch.uint8) + torch.isin(sizes, _UP)
    return places | ((numbers < 0).to(torch.uint8) << 3)
