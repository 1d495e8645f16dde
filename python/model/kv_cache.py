"""KvCache: keys and values of one layer, as buffers that outlive a call.

Invariant: position p lies in slot p mod capacity, and capacity >= min(max_context, window - 1 +
max_chunk): a chunk of max_chunk tokens leaves in place the window - 1 keys before it, which its
first query still sees.
"""

from __future__ import annotations

import torch
from torch import nn

from python.model.gemma_config import AttentionConfig


def cache_capacity(attention: AttentionConfig, *, max_context: int, max_chunk: int) -> int:
    """Positions that a layer's cache must hold."""
    if attention.window is None:
        return max_context
    return min(max_context, attention.window - 1 + max_chunk)


class KvCache(nn.Module):
    """keys, values: [kv_heads, capacity, head_dim], zeros at first; never part of a checkpoint."""

    def __init__(
        self,
        attention: AttentionConfig,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        shape = (attention.kv_heads, capacity, attention.head_dim)
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self.register_buffer(
            "keys", torch.zeros(shape, dtype=dtype, device=device), persistent=False
        )
        self.register_buffer(
            "values", torch.zeros(shape, dtype=dtype, device=device), persistent=False
        )
