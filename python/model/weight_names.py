"""The canonical names of the model's weights, and the shape of each.

Canonical names are Hugging Face's without prefix. Invariant: a name that `expected_weights` does
not list is an error, never dropped.
"""

from __future__ import annotations

import re

from python.model.gemma_config import GemmaConfig

LAYER_NAME = re.compile(r"layers\.(0|[1-9][0-9]*)\.(.+)", re.ASCII)


class WeightError(ValueError):
    """A weight that is missing, unknown or of the wrong shape: the message names it."""


def expected_weights(config: GemmaConfig) -> dict[str, tuple[int, ...]]:
    """Canonical name -> shape of every weight of the model, in the order of the computation."""
    weights: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (config.vocab_size, config.hidden_size)
    }
    for layer in range(config.num_layers):
        weights |= {
            f"layers.{layer}.{name}": shape for name, shape in _layer_weights(config, layer).items()
        }
    weights["norm.weight"] = (config.hidden_size,)
    if not config.tied_embeddings:
        weights["lm_head.weight"] = (config.vocab_size, config.hidden_size)
    return weights


def _layer_weights(config: GemmaConfig, layer: int) -> dict[str, tuple[int, ...]]:
    attention, hidden, inner = config.attention(layer), config.hidden_size, config.intermediate_size
    q_width, kv_width = (
        config.num_heads * attention.head_dim,
        attention.kv_heads * attention.head_dim,
    )
    weights: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (q_width, hidden),
        "self_attn.k_proj.weight": (kv_width, hidden),
        "self_attn.v_proj.weight": (kv_width, hidden),
        "self_attn.q_norm.weight": (attention.head_dim,),
        "self_attn.k_norm.weight": (attention.head_dim,),
        "self_attn.o_proj.weight": (hidden, q_width),
        "post_attention_layernorm.weight": (hidden,),
        "pre_feedforward_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
        "post_feedforward_layernorm.weight": (hidden,),
        "layer_scalar": (1,),
    }
    if attention.k_eq_v:
        del weights["self_attn.v_proj.weight"]
    if not config.layer_scalar:
        del weights["layer_scalar"]
    return weights


def is_norm(name: str) -> bool:
    """Whether a canonical name is a norm's weight, which is stored as the float32 factor."""
    return name.endswith("norm.weight")


def check_known(canonical: str, stored: str, config: GemmaConfig) -> str:
    """`canonical`, if `expected_weights(config)` has it (without building that table).

    Raises WeightError, which calls it by its name in the file, `stored`.
    """
    if match := LAYER_NAME.fullmatch(canonical):
        layer, rest = int(match[1]), match[2]
        if layer >= config.num_layers:
            raise WeightError(
                f"{stored}: layer {layer} does not exist, {config.name} has {config.num_layers}"
            )
        known = rest in _layer_weights(config, layer)
    else:
        known = canonical in ("embed_tokens.weight", "norm.weight")
        known = known or (canonical == "lm_head.weight" and not config.tied_embeddings)
    if not known:
        raise WeightError(f"{stored}: unknown tensor, {config.name} has no {canonical}")
    return canonical
