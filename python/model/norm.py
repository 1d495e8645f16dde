"""RMSNorm: x / sqrt(mean(x^2) + epsilon) * weight.

Invariant: computed in float32 and rounded once; the weight is the factor itself, not its offset.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from python.model.cast import cast


class RMSNorm(nn.Module):
    """Over the last dimension, with a float32 weight [width] or, for values, with none."""

    def __init__(
        self,
        width: int,
        epsilon: float,
        *,
        weight: bool = True,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.width = width
        self.epsilon = epsilon
        factor = (
            nn.Parameter(torch.ones(width, dtype=torch.float32, device=device)) if weight else None
        )
        self.weight: nn.Parameter | None
        self.register_parameter("weight", factor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [..., width] of any floating type -> the same."""
        normalized = functional.rms_norm(
            cast(x, torch.float32), (self.width,), self.weight, self.epsilon
        )
        return cast(normalized, x.dtype)
