"""Rotary position embedding: the frequencies of each attention kind and the rotation itself.

Invariant: tables and rotation are float32 whatever the model's type; the pair (i, i + head_dim/2)
turns by the angle position * frequencies[i]. "proportional" keeps the divisor head_dim and leaves
the last pairs unturned (frequency 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from python.model.cast import cast
from python.model.gemma_config import AttentionConfig, ConfigError


def rope_frequencies(attention: AttentionConfig) -> torch.Tensor:
    """float32 [head_dim/2]: theta^(-2i/head_dim) / factor for the pairs that turn, then zeros.

    Source: transformers' `compute_default_rope_parameters`,
    `_compute_proportional_rope_parameters`.
    """
    pairs = attention.head_dim // 2
    turning = int(attention.rotary_fraction * attention.head_dim // 2)
    exponents = (
        torch.arange(0, 2 * turning, 2, dtype=torch.float32, device="cpu") / attention.head_dim
    )
    frequencies = torch.zeros(pairs, dtype=torch.float32, device="cpu")
    frequencies[:turning] = 1.0 / (attention.rope_theta**exponents) / attention.rope_factor
    return frequencies


def check_frequency_factors(attention: AttentionConfig, factors: Sequence[float]) -> None:
    """Checks a GGUF file's `rope_freqs.weight`, by whose factors frequencies are divided.

    Raises ConfigError when the file turns other pairs than `rope_frequencies` does.
    """
    frequencies = rope_frequencies(attention)
    if len(factors) != len(frequencies):
        raise ConfigError(
            f"rope_freqs.weight has {len(factors)} factors, "
            f"head_dim {attention.head_dim} needs {len(frequencies)}"
        )
    for pair, (factor, frequency) in enumerate(zip(factors, frequencies.tolist(), strict=True)):
        expected = "1" if frequency else "at least 1e29"
        if not (factor == 1.0 if frequency else factor >= 1e29):
            raise ConfigError(f"rope_freqs.weight: factor {pair} is {factor}, expected {expected}")


class Rope(nn.Module):
    """Cosines and sines of one attention kind."""

    def __init__(
        self, attention: AttentionConfig, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        frequencies = rope_frequencies(attention).to(device)
        self.frequencies: torch.Tensor
        self.register_buffer("frequencies", frequencies, persistent=False)  # [head_dim/2]

    def forward(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """positions: int64 [tokens] -> cosines, sines: float32 [tokens, 1, head_dim/2]."""
        angles = positions.to(torch.float32).view(-1, 1, 1) * self.frequencies
        return torch.cos(angles), torch.sin(angles)


def rotate(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Turns the pairs of every head of x [1, tokens, heads, head_dim].

    The tables are [tokens, 1, head_dim/2].
    """
    first, second = cast(x, torch.float32).chunk(2, dim=-1)
    turned = torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)
    return cast(turned, x.dtype)
