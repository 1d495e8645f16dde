"""For tests: transformers' own models of our configurations, small, with random weights.

Owns the way back from GemmaConfig to transformers' config, and weights that make every part of the
model matter (norms away from 1, layer scalars away from each other).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
)

from python.model.gemma_config import AttentionConfig, GemmaConfig
from python.model.load import load_weights
from python.model.transformer import GemmaModel
from python.model.weight_names import is_norm


def hf_model(config: GemmaConfig, seed: int, dtype: torch.dtype = torch.float32) -> Any:
    """transformers' model of `config`, eager attention; the same weights for the same seed."""
    hf_config: Any = _gemma4_config(config) if config.layer_scalar else _gemma3_config(config)
    hf_config._attn_implementation = "eager"
    model_class: Any = Gemma4ForCausalLM if config.layer_scalar else Gemma3ForCausalLM
    model = model_class(hf_config).eval()
    generator = torch.Generator().manual_seed(seed)
    norm_center = 0.0 if config.norm_offset else 1.0
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = norm_center + 0.1 * noise if "norm" in name else 0.05 * noise
    for name, buffer in model.named_buffers():
        if name.endswith("layer_scalar"):
            buffer.copy_(0.7 + 0.5 * torch.rand(1, generator=generator))
    model.tie_weights()
    return model.to(dtype).requires_grad_(False)


def our_model(config: GemmaConfig, hf: Any, *, max_context: int, max_chunk: int) -> GemmaModel:
    """Our float32 model with the weights of transformers' one."""
    model = GemmaModel(config, max_context=max_context, max_chunk=max_chunk)
    load_weights(model, _canonical_weights(config, hf))
    return model


def _canonical_weights(config: GemmaConfig, hf: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """transformers' weights under canonical names; where it stores w of a norm, the factor 1 + w."""
    for stored, tensor in hf.state_dict().items():
        name = stored.removeprefix("model.")
        if name == "lm_head.weight" and config.tied_embeddings:
            continue
        yield name, 1.0 + tensor.float() if is_norm(name) and config.norm_offset else tensor


def random_tokens(config: GemmaConfig, count: int, seed: int) -> torch.Tensor:
    """int64 [1, count]: ids drawn from the whole vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, (1, count), generator=generator)


def _gemma4_config(config: GemmaConfig) -> Gemma4TextConfig:
    full_layers: dict[str, Any] = {
        "global_head_dim": config.full.head_dim,
        "num_global_key_value_heads": config.full.kv_heads if config.full.k_eq_v else None,
    }
    return Gemma4TextConfig(
        **_sizes(config),
        **full_layers,
        head_dim=config.sliding.head_dim,
        attention_k_eq_v=config.full.k_eq_v,
        hidden_size_per_layer_input=0,
    )


def _gemma3_config(config: GemmaConfig) -> Gemma3TextConfig:
    return Gemma3TextConfig(
        **_sizes(config),
        head_dim=config.sliding.head_dim,
        query_pre_attn_scalar=round(config.attention_scale**-2),
    )


def _sizes(config: GemmaConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.sliding.kv_heads,
        "sliding_window": config.sliding.window,
        "layer_types": [f"{kind}_attention" for kind in config.layer_kinds],
        "rms_norm_eps": config.rms_norm_eps,
        "final_logit_softcapping": config.final_softcap,
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": config.tied_embeddings,
        "eos_token_id": list(config.stop_ids),
        "rope_parameters": {
            "sliding_attention": _rope(config.sliding),
            "full_attention": _rope(config.full),
        },
    }


def _rope(attention: AttentionConfig) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "rope_type": attention.rope_type,
        "rope_theta": attention.rope_theta,
    }
    if attention.rope_type == "proportional":
        parameters["partial_rotary_factor"] = attention.rotary_fraction
    if attention.rope_type == "linear":
        parameters["factor"] = attention.rope_factor
    return parameters
