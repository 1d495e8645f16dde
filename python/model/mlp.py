"""The gated MLP: down(gelu_tanh(gate(x)) * up(x))."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from python.model.gemma_config import GemmaConfig


class GatedMlp(nn.Module):
    """GELU in its tanh form, no biases."""

    def __init__(
        self, config: GemmaConfig, dtype: torch.dtype, device: torch.device | str | None
    ) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(hidden, inner, bias=False, dtype=dtype, device=device)
        self.up_proj = nn.Linear(hidden, inner, bias=False, dtype=dtype, device=device)
        self.down_proj = nn.Linear(inner, hidden, bias=False, dtype=dtype, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[1, tokens, hidden] -> [1, tokens, hidden]."""
        gated = functional.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x)
        down: torch.Tensor = self.down_proj(gated)
        return down
