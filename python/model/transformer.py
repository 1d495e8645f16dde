"""The decoder: embedding, layers, final norm, head; parameters named as Hugging Face does.

Invariants: `layers.N` keeps its number when only some layers are built;
caches and RoPE tables are buffers outside the state dict;
float32 where transformers computes in float32 (norms, RoPE tables, softmax, softcap).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from python.model.attention import Attention
from python.model.cast import cast
from python.model.gemma_config import ConfigError, GemmaConfig
from python.model.kv_cache import KvCache, cache_capacity
from python.model.mlp import GatedMlp
from python.model.norm import RMSNorm
from python.model.rope import Rope


class DecoderLayer(nn.Module):
    """Attention and MLP, each between two norms; layer_scalar multiplies the stream at the end."""

    def __init__(
        self,
        config: GemmaConfig,
        layer: int,
        cache: KvCache,
        *,
        dtype: torch.dtype,
        weights_device: torch.device | str | None,
    ) -> None:
        super().__init__()

        def norm() -> RMSNorm:
            return RMSNorm(config.hidden_size, config.rms_norm_eps, device=weights_device)

        self.input_layernorm = norm()
        self.post_attention_layernorm = norm()
        self.pre_feedforward_layernorm = norm()
        self.post_feedforward_layernorm = norm()
        self.self_attn = Attention(config, layer, dtype, weights_device)
        self.mlp = GatedMlp(config, dtype, weights_device)
        self.kv_cache = cache
        scalar = torch.ones(1, dtype=dtype, device=weights_device) if config.layer_scalar else None
        self.layer_scalar: torch.Tensor | None
        self.register_buffer("layer_scalar", scalar)

    def forward(
        self, x: torch.Tensor, rope: tuple[torch.Tensor, torch.Tensor], start: torch.Tensor
    ) -> torch.Tensor:
        """x: [1, tokens, hidden] -> the same shape."""
        attended = self.self_attn(self.input_layernorm(x), rope, self.kv_cache, start)
        x = x + self.post_attention_layernorm(attended)
        x = x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))
        return x if self.layer_scalar is None else x * self.layer_scalar


class TokenEmbedding(nn.Embedding):
    """Rows by token; the same matrix is the head where the two are tied."""

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """x: [1, tokens, hidden] -> [1, tokens, vocab]."""
        return functional.linear(x, self.weight)


class GemmaModel(nn.Module):
    """One sequence at a time: the batch is 1 and the KV caches belong to the module.

    `layer_indices` builds only those layers, under their own numbers: the exporter traces one of
    each kind. `weights_device="meta"` leaves the weights unallocated, for `load.load_weights` to
    put in place.
    """

    def __init__(
        self,
        config: GemmaConfig,
        *,
        max_context: int,
        max_chunk: int,
        dtype: torch.dtype = torch.float32,
        cache_dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        weights_device: torch.device | str | None = None,
        layer_indices: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        weights_device = weights_device or device
        layers = range(config.num_layers) if layer_indices is None else layer_indices
        _check_limits(config, max_context, max_chunk, layers)
        self.config = config
        self.max_context = max_context
        self.max_chunk = max_chunk
        self.device = torch.device(device)  # of caches, tables and (once loaded) weights
        self.embed_scale = config.embed_scale(dtype)
        shape = (config.vocab_size, config.hidden_size)
        self.embed_tokens = TokenEmbedding(
            *shape, _weight=torch.zeros(shape, dtype=dtype, device=weights_device)
        )
        self.layers = nn.ModuleDict()
        for layer in layers:
            kind = config.attention(layer)
            capacity = cache_capacity(kind, max_context=max_context, max_chunk=max_chunk)
            cache = KvCache(kind, capacity, cache_dtype or dtype, device)
            self.layers[str(layer)] = DecoderLayer(
                config, layer, cache, dtype=dtype, weights_device=weights_device
            )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps, device=weights_device)
        if not config.tied_embeddings:
            self.lm_head = nn.Linear(
                config.hidden_size,
                config.vocab_size,
                bias=False,
                dtype=dtype,
                device=weights_device,
            )
        kinds = {config.layer_kinds[layer] for layer in layers}
        self.rope = nn.ModuleDict(
            {kind: Rope(getattr(config, kind), device) for kind in sorted(kinds)}
        )
        self.requires_grad_(False)

    def hidden(self, tokens: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """The stream before the final norm, [1, tokens, hidden].

        tokens: int64 [1, tokens]; start: int64 [1].
        """
        x = self.embed_tokens(tokens) * self.embed_scale
        first = start if start.device == tokens.device else start.to(tokens.device)
        positions = first + torch.arange(tokens.shape[1], device=tokens.device)
        tables = {kind: rope(positions) for kind, rope in self.rope.items()}
        for layer, block in self.layers.items():
            x = block(x, tables[self.config.layer_kinds[int(layer)]], start)
        return x

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Final norm, head and softcap. x: [1, tokens, hidden] -> float32 [1, tokens, vocab]."""
        head = self.embed_tokens.project if self.config.tied_embeddings else self.lm_head
        logits = cast(head(self.norm(x)), torch.float32)
        cap = self.config.final_softcap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def forward(self, tokens: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Logits of every token, float32 [1, tokens, vocab].

        tokens: int64 [1, tokens]; start: int64 [1].
        """
        return self.logits(self.hidden(tokens, start))


def _check_limits(
    config: GemmaConfig, max_context: int, max_chunk: int, layers: Sequence[int]
) -> None:
    if not 1 <= max_context <= config.max_positions:
        raise ConfigError(
            f"max_context {max_context} is outside 1..{config.max_positions} of {config.name}"
        )
    if not 1 <= max_chunk <= max_context:
        raise ConfigError(f"max_chunk {max_chunk} is outside 1..max_context {max_context}")
    for layer in layers:
        if not 0 <= layer < config.num_layers:
            raise ConfigError(
                f"layer {layer} is outside 0..{config.num_layers - 1} of {config.name}"
            )
