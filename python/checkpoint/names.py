"""From the names of a checkpoint's tensors to the canonical names of docs/formats.md, "Names"."""

import re

_LAYER_NUMBER = r"(0|[1-9]\d{0,3})"
_PROJECTIONS = (
    "self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight",
)  # fmt: skip
_NORMS = (
    "self_attn.q_norm.weight", "self_attn.k_norm.weight", "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "pre_feedforward_layernorm.weight", "post_feedforward_layernorm.weight",
)  # fmt: skip
_LAYER_SCALAR = "layer_scalar"
_IN_LAYER = frozenset((*_PROJECTIONS, *_NORMS, _LAYER_SCALAR))
_TOP = ("embed_tokens.weight", "norm.weight")
HEAD = "lm_head.weight"
EMBEDDING = "embed_tokens.weight"

# Parts of the multimodal models that text does not use.
_IGNORED_PREFIXES = (
    "model.vision_tower.", "model.embed_vision.", "model.audio_tower.", "model.embed_audio.",
    "model.multi_modal_projector.", "vision_tower.", "multi_modal_projector.",
)  # fmt: skip
_TEXT_PREFIXES = ("model.language_model.", "language_model.model.", "model.")
_HEADS = (HEAD, "model.lm_head.weight", "language_model.lm_head.weight")

_GGUF_TOP = {
    "token_embd.weight": EMBEDDING,
    "output_norm.weight": "norm.weight",
    "output.weight": HEAD,
}
_GGUF_IN_LAYER = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_LAYER = re.compile(rf"layers\.{_LAYER_NUMBER}\.(.+)")
_GGUF_LAYER = re.compile(rf"blk\.{_LAYER_NUMBER}\.([a-z_]+)\.weight")


def from_hugging_face(name: str) -> str | None:
    """The canonical name, or None for a tensor that text does not use. Raises KeyError for an
    unknown name.
    """
    if name in _HEADS:
        return HEAD
    if name.startswith(_IGNORED_PREFIXES):
        return None
    for prefix in _TEXT_PREFIXES:
        canonical = name.removeprefix(prefix)
        match = _LAYER.fullmatch(canonical)
        if canonical != name and (
            canonical in _TOP or (match is not None and match[2] in _IN_LAYER)
        ):
            return canonical
    raise KeyError(name)


def from_gguf(name: str) -> str:
    """The canonical name. Raises KeyError for an unknown name."""
    if name in _GGUF_TOP:
        return _GGUF_TOP[name]
    match = _GGUF_LAYER.fullmatch(name)
    if match is None:
        raise KeyError(name)
    if match[2] == "layer_output_scale":
        return f"layers.{match[1]}.{_LAYER_SCALAR}"
    return f"layers.{match[1]}.{_GGUF_IN_LAYER[match[2]]}.weight"


def layer_of(name: str) -> int | None:
    """The number of the layer that a canonical name belongs to."""
    match = _LAYER.match(name)
    return None if match is None else int(match[1])


def is_norm(name: str) -> bool:
    """Whether a canonical name is that of a norm's weight."""
    return name == "norm.weight" or name.endswith(_NORMS)


def is_quantizable(name: str) -> bool:
    """Whether a canonical name is that of a matrix that a recipe may quantize."""
    return name in (EMBEDDING, HEAD) or name.endswith(_PROJECTIONS)


def order(name: str) -> tuple[int, int, str]:
    """Sorts names as the model uses them: embedding, layers by number, final norm, head."""
    layer = layer_of(name)
    if layer is not None:
        return (1, layer, name)
    return ({EMBEDDING: 0, HEAD: 3}.get(name, 2), 0, name)
