"""The inverse of config_hf: config.json and generation_config.json of a Hugging Face folder."""

from typing import Any

import torch

from python.checkpoint.generation import GenerationConfig
from python.model.gemma_config import AttentionConfig, GemmaConfig


def config_json(config: GemmaConfig, dtype: torch.dtype) -> dict[str, Any]:
    """A config.json that python/model reads as `config` (name and ids of the family apart)."""
    gemma4 = config.layer_scalar
    sliding, full = config.sliding, config.full
    values: dict[str, Any] = {
        "architectures": ["Gemma4ForCausalLM" if gemma4 else "Gemma3ForCausalLM"],
        "model_type": "gemma4_text" if gemma4 else "gemma3_text",
        "dtype": str(dtype).removeprefix("torch."),
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": sliding.kv_heads,
        "head_dim": sliding.head_dim,
        "sliding_window": sliding.window,
        "layer_types": [f"{kind}_attention" for kind in config.layer_kinds],
        "rms_norm_eps": config.rms_norm_eps,
        "final_logit_softcapping": config.final_softcap,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": config.tied_embeddings,
        "bos_token_id": config.bos_id,
        "eos_token_id": list(config.stop_ids),
        "rope_parameters": {
            f"{kind}_attention": _rope(attention) for kind,
            attention in (("sliding", sliding), ("full", full))
        },
    }  # fmt: skip
    if gemma4:
        values |= {
            "attention_k_eq_v": full.k_eq_v, "global_head_dim": full.head_dim,
            "num_global_key_value_heads": full.kv_heads, "hidden_size_per_layer_input": 0,
        }  # fmt: skip
    else:
        values["query_pre_attn_scalar"] = round(config.attention_scale**-2)  # an integer there
    return values


def generation_json(generation: GenerationConfig) -> dict[str, Any]:
    """A generation_config.json that python/checkpoint reads as `generation`."""
    values: dict[str, Any] = {
        "do_sample": generation.temperature > 0, "eos_token_id": list(generation.stop_ids),
        "temperature": generation.temperature or 1.0, "top_k": generation.top_k,
        "top_p": generation.top_p,
    }  # fmt: skip
    if generation.suppressed_ids:
        values["suppress_tokens"] = list(generation.suppressed_ids)
    return values


def _rope(attention: AttentionConfig) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": attention.rope_type, "rope_theta": attention.rope_theta}
    if attention.rope_type == "proportional":
        rope["partial_rotary_factor"] = attention.rotary_fraction
    if attention.rope_type == "linear":
        rope["factor"] = attention.rope_factor
    return rope
