"""Attention of one layer: projections, norms per head, RoPE, cached attention, output projection.

Invariant: values never see k_norm or RoPE, also where they come from k_proj (`k_eq_v`).
"""

from __future__ import annotations

import torch
from torch import nn

from python.model import ops
from python.model.gemma_config import GemmaConfig
from python.model.kv_cache import KvCache
from python.model.norm import RMSNorm
from python.model.rope import rotate


class Attention(nn.Module):
    """Grouped-query attention with a KV cache that the caller owns."""

    def __init__(
        self, config: GemmaConfig, layer: int, dtype: torch.dtype, device: torch.device | str | None
    ) -> None:
        super().__init__()
        kind = config.attention(layer)
        self.head_dim = kind.head_dim
        self.window = kind.window or 0
        self.scale = config.attention_scale
        hidden, q_width, kv_width = (
            config.hidden_size,
            config.num_heads * kind.head_dim,
            kind.kv_heads * kind.head_dim,
        )
        self.q_proj = nn.Linear(hidden, q_width, bias=False, dtype=dtype, device=device)
        self.k_proj = nn.Linear(hidden, kv_width, bias=False, dtype=dtype, device=device)
        self.v_proj = (
            None
            if kind.k_eq_v
            else nn.Linear(hidden, kv_width, bias=False, dtype=dtype, device=device)
        )
        self.o_proj = nn.Linear(q_width, hidden, bias=False, dtype=dtype, device=device)
        self.q_norm = RMSNorm(kind.head_dim, config.rms_norm_eps, device=device)
        self.k_norm = RMSNorm(kind.head_dim, config.rms_norm_eps, device=device)
        self.v_norm = (
            RMSNorm(kind.head_dim, config.rms_norm_eps, weight=False)
            if config.normalize_v
            else None
        )

    def forward(
        self,
        x: torch.Tensor,
        rope: tuple[torch.Tensor, torch.Tensor],
        cache: KvCache,
        start: torch.Tensor,
    ) -> torch.Tensor:
        """[1, tokens, hidden] -> the same shape.

        rope: cosines and sines, [tokens, 1, head_dim/2]; start: int64 [1], position of token 0.
        """
        q = self._heads(self.q_proj(x))  # [1, tokens, heads, head_dim]
        k = self._heads(self.k_proj(x))  # [1, tokens, kv_heads, head_dim]
        v = k if self.v_proj is None else self._heads(self.v_proj(x))
        q, k = rotate(self.q_norm(q), *rope), rotate(self.k_norm(k), *rope)
        v = v if self.v_norm is None else self.v_norm(v)
        attended = ops.cached_attention(
            q, k, v, cache.keys, cache.values, start, self.window, self.scale
        )
        out: torch.Tensor = self.o_proj(attended.flatten(2))
        return out

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """[1, tokens, heads * head_dim] -> [1, tokens, heads, head_dim]."""
        heads: torch.Tensor = x.unflatten(-1, (-1, self.head_dim))  # type: ignore[no-untyped-call]
        return heads
