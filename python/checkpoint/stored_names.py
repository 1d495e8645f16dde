"""Canonical names of weights to Hugging Face's and GGUF's names, and back.

Invariant: the maps are one to one on what `expected_weights` lists; a name that is neither there
nor listed here as ignored is an error, never dropped.
"""

from __future__ import annotations

import re

from python.model.gemma_config import GemmaConfig
from python.model.weight_names import LAYER_NAME, WeightError, check_known

# Before every name of the text model; the first is what a text-only checkpoint has. ExecuTorch's
# own example writes names without one.
HF_PREFIXES = ("model.", "model.language_model.", "language_model.model.", "")
# Parts of multimodal checkpoints that the text model does not have.
HF_IGNORED_PREFIXES = (
    "model.audio_tower.",
    "model.embed_audio.",
    "model.embed_vision.",
    "model.multi_modal_projector.",
    "model.vision_embedder.",
    "model.vision_tower.",
    "multi_modal_projector.",
    "vision_tower.",
)
HF_HEADS = ("lm_head.weight", "language_model.lm_head.weight")
# Tensors of a GGUF file that follow from its metadata (`rope.check_frequency_factors` compares).
GGUF_DERIVED = ("rope_freqs.weight",)

_GGUF_GLOBAL = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_GGUF_LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
    "layer_scalar": "layer_output_scale.weight",
}
_CANONICAL_GLOBAL = {gguf: name for name, gguf in _GGUF_GLOBAL.items()}
_CANONICAL_LAYER = {gguf: name for name, gguf in _GGUF_LAYER.items()}
_GGUF_LAYER_NAME = re.compile(r"blk\.(0|[1-9][0-9]*)\.(.+)", re.ASCII)


def canonical_from_hf(name: str, config: GemmaConfig) -> str | None:
    """The canonical name of a checkpoint's tensor; None for a tower's or a tied head.

    Raises WeightError for a name that is neither.
    """
    if name in HF_HEADS:
        return None if config.tied_embeddings else "lm_head.weight"
    if name.startswith(HF_IGNORED_PREFIXES):
        return None
    prefixes = sorted(HF_PREFIXES, key=len, reverse=True)
    prefix = next(prefix for prefix in prefixes if name.startswith(prefix))
    return check_known(name.removeprefix(prefix), name, config)


def hf_from_canonical(name: str, prefix: str = "model.") -> str:
    """The inverse of `canonical_from_hf` for a checkpoint whose names begin with `prefix`."""
    return name if name == "lm_head.weight" else prefix + name


def canonical_from_gguf(name: str, config: GemmaConfig) -> str | None:
    """The canonical name of a GGUF tensor; None for one that follows from the metadata.

    Raises WeightError for an unknown name.
    """
    if name in GGUF_DERIVED:
        return None
    canonical = _CANONICAL_GLOBAL.get(name)
    if match := _GGUF_LAYER_NAME.fullmatch(name):
        layer, rest = match.groups()
        canonical = f"layers.{layer}.{_CANONICAL_LAYER[rest]}" if rest in _CANONICAL_LAYER else None
    if canonical is None:
        raise WeightError(f"{name}: unknown tensor for {config.name}")
    return check_known(canonical, name, config)


def gguf_from_canonical(name: str) -> str:
    """The GGUF name of a canonical name."""
    if match := LAYER_NAME.fullmatch(name):
        layer, rest = match.groups()
        if rest in _GGUF_LAYER:
            return f"blk.{layer}.{_GGUF_LAYER[rest]}"
    elif name in _GGUF_GLOBAL:
        return _GGUF_GLOBAL[name]
    raise WeightError(f"{name}: no such weight")
