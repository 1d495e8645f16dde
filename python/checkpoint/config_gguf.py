"""GemmaConfig from the metadata of a GGUF file, architectures `gemma4` and `gemma3`.

Invariant: what the file states is used and checked; what the format has no key for is a constant of
the architecture, named here as such (as llama.cpp has it). Gemma 4's rotary fraction is one: the
file states it in `rope_freqs.weight`, which `rope.check_frequency_factors` compares.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from python.model.gemma_config import (
    MAX_LAYERS,
    AttentionConfig,
    ConfigError,
    GemmaConfig,
    LayerKind,
)
from python.model.named_configs import layer_pattern, with_known_name

GEMMA4_ROTARY_FRACTION = 0.25
GEMMA3_LAYER_PERIOD = 6
GEMMA3_SLIDING_ROPE_THETA = 1e4
GEMMA3_27B_LAYERS = 62  # the one Gemma 3 whose attention scale is not head_dim^-0.5
# Texts of the tokens that end a turn, beside the file's own eos.
_STOP_TOKENS = {
    "gemma4": ("<eos>", "<turn|>", "<|tool_response>"),
    "gemma3": ("<eos>", "<end_of_turn>"),
}
_DRAFTERS = ("gemma4-assistant", "gemma4_assistant")
_MUST_BE_ZERO = ("attention.shared_kv_layers", "embedding_length_per_layer_input", "expert_count")


def _wrong(problem: str) -> ConfigError:
    return ConfigError(f"GGUF: {problem}")


def config_from_gguf(
    metadata: Mapping[str, Any], tensor_names: Collection[str], name: str | None = None
) -> GemmaConfig:
    """The configuration of a GGUF file.

    metadata: key -> int, float, bool, str or list of them; tensor_names:
    the names of all its tensors, which tell whether the head is tied and whether
    values have a projection of their own. `name` as in `config_from_hf`.
    Raises ConfigError for a missing, contradictory or unsupported key.
    """
    keys = _Keys(metadata)
    kinds = _layer_kinds(keys)
    attention = _gemma4_attention if keys.arch == "gemma4" else _gemma3_attention
    sliding, full = attention(keys, kinds, tensor_names)
    config = GemmaConfig(
        name=name or keys.arch,
        vocab_size=_vocab_size(keys),
        hidden_size=keys.integer("embedding_length"),
        intermediate_size=keys.integer("feed_forward_length"),
        num_layers=len(kinds),
        num_heads=keys.integer("attention.head_count"),
        sliding=sliding,
        full=full,
        layer_kinds=kinds,
        rms_norm_eps=keys.number("attention.layer_norm_rms_epsilon"),
        attention_scale=1.0 if keys.arch == "gemma4" else _gemma3_scale(keys, len(kinds)),
        normalize_v=keys.arch == "gemma4",
        layer_scalar=keys.arch == "gemma4",
        final_softcap=_softcap(keys),
        embed_scale_dtype="float32",
        norm_offset=keys.arch == "gemma3",
        max_positions=keys.integer("context_length"),
        tied_embeddings="output.weight" not in tensor_names,
        bos_id=keys.tokenizer_id("bos_token_id"),
        stop_ids=_stop_ids(keys),
        chat_template="gemma4" if keys.arch == "gemma4" else "gemma3",
    )
    return config if name else with_known_name(config)


class _Keys:
    """Metadata with the architecture's prefix understood."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.metadata = metadata
        self.arch = str(metadata.get("general.architecture"))
        if self.arch in _DRAFTERS:
            raise _wrong(
                f"general.architecture {self.arch!r} is Gemma 4's drafter, which guesses tokens for"
                " the model and cannot run without it (use the model's own file)"
            )
        if self.arch not in _STOP_TOKENS:
            raise _wrong(
                f"general.architecture {self.arch!r} is not supported ({', '.join(_STOP_TOKENS)})"
            )
        for key in _MUST_BE_ZERO:
            if key in self and self[key] != 0:
                raise _wrong(f"{self.arch}.{key} = {self[key]} is not supported (only 0)")

    def __contains__(self, key: str) -> bool:
        return f"{self.arch}.{key}" in self.metadata

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise _wrong(f"{self.arch}.{key} is missing")
        return self.metadata[f"{self.arch}.{key}"]

    def integer(self, key: str) -> int:
        """An integer, or an array whose elements are all the same integer."""
        value = self[key]
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]
        return _integer(value, f"{self.arch}.{key}")

    def integers(self, key: str, count: int) -> list[int]:
        """One integer a layer; a single one stands for all."""
        value = self[key]
        values = value if isinstance(value, list) else [value] * count
        if len(values) != count:
            raise _wrong(f"{self.arch}.{key} has {len(values)} elements, block_count is {count}")
        return [_integer(item, f"{self.arch}.{key}") for item in values]

    def number(self, key: str) -> float:
        value = self[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(f"{self.arch}.{key} = {value!r} is not a number")
        return _shortest_decimal(float(value))

    def tokens(self) -> Sequence[str]:
        """The vocabulary, empty where the file has no tokenizer."""
        tokens = self.metadata.get("tokenizer.ggml.tokens", ())
        if isinstance(tokens, str) or not isinstance(tokens, Sequence):
            raise _wrong(f"tokenizer.ggml.tokens is {type(tokens).__name__}, expected an array")
        return tokens

    def tokenizer_id(self, key: str) -> int | None:
        """A token id; None where the file has no tokenizer at all."""
        full = f"tokenizer.ggml.{key}"
        if full not in self.metadata and not self.tokens():
            return None
        if full not in self.metadata:
            raise _wrong(f"{full} is missing")
        return _integer(self.metadata[full], full)


def _integer(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(f"{key} = {value!r} is not an integer")
    return value


def _shortest_decimal(value: float) -> float:
    """The shortest decimal of the same float32: the file's 9.99999997e-07 was meant as 1e-6."""
    for digits in range(1, 10):
        candidate = float(f"{value:.{digits}g}")
        if _float32_bits(candidate) == _float32_bits(value):
            return candidate
    return value


def _float32_bits(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError as error:
        raise _wrong(f"{value} does not fit float32") from error


def _layer_kinds(keys: _Keys) -> tuple[LayerKind, ...]:
    count = keys.integer("block_count")
    if not 1 <= count <= MAX_LAYERS:
        raise _wrong(f"{keys.arch}.block_count {count} is outside 1..{MAX_LAYERS}")
    if keys.arch == "gemma3" and "attention.sliding_window_pattern" not in keys:
        return layer_pattern(count, GEMMA3_LAYER_PERIOD)
    slides = keys["attention.sliding_window_pattern"]
    if isinstance(slides, int) and not isinstance(slides, bool) and slides >= 1:
        return layer_pattern(count, slides)
    if (
        not isinstance(slides, list)
        or len(slides) != count
        or not all(isinstance(item, bool) for item in slides)
    ):
        raise _wrong(f"{keys.arch}.attention.sliding_window_pattern is not {count} booleans")
    return tuple("sliding" if item else "full" for item in slides)


def _gemma4_attention(
    keys: _Keys, kinds: tuple[LayerKind, ...], tensor_names: Collection[str]
) -> tuple[AttentionConfig, AttentionConfig]:
    sliding = AttentionConfig(
        kv_heads=_kv_heads(keys, kinds, "sliding"),
        head_dim=_head_dim(keys, "_swa"),
        rope_theta=keys.number("rope.freq_base_swa"),
        rope_type="default",
        rotary_fraction=1.0,
        rope_factor=1.0,
        window=keys.integer("attention.sliding_window"),
        k_eq_v=_k_eq_v(kinds, "sliding", tensor_names),
    )
    full = AttentionConfig(
        kv_heads=_kv_heads(keys, kinds, "full"),
        head_dim=_head_dim(keys, ""),
        rope_theta=keys.number("rope.freq_base"),
        rope_type="proportional",
        rotary_fraction=GEMMA4_ROTARY_FRACTION,
        rope_factor=1.0,
        window=None,
        k_eq_v=_k_eq_v(kinds, "full", tensor_names),
    )
    return sliding, full


def _gemma3_attention(
    keys: _Keys, kinds: tuple[LayerKind, ...], tensor_names: Collection[str]
) -> tuple[AttentionConfig, AttentionConfig]:
    shared: dict[str, Any] = {
        "head_dim": _head_dim(keys, ""),
        "rotary_fraction": 1.0,
        "k_eq_v": False,
    }
    theta = (
        keys.number("rope.freq_base_swa")
        if "rope.freq_base_swa" in keys
        else GEMMA3_SLIDING_ROPE_THETA
    )
    sliding = AttentionConfig(
        **shared,
        kv_heads=_kv_heads(keys, kinds, "sliding"),
        rope_theta=theta,
        rope_type="default",
        rope_factor=1.0,
        window=keys.integer("attention.sliding_window"),
    )
    full = AttentionConfig(
        **shared,
        kv_heads=_kv_heads(keys, kinds, "full"),
        rope_theta=keys.number("rope.freq_base"),
        **_gemma3_rope_scaling(keys),
        window=None,
    )
    return sliding, full


def _gemma3_rope_scaling(keys: _Keys) -> dict[str, Any]:
    """The full layers' RoPE of the 4B and larger ones is scaled linearly."""
    if "rope.scaling.type" not in keys or keys["rope.scaling.type"] == "none":
        return {"rope_type": "default", "rope_factor": 1.0}
    if keys["rope.scaling.type"] != "linear":
        kind = keys["rope.scaling.type"]
        raise _wrong(f"{keys.arch}.rope.scaling.type {kind!r} is not supported (none, linear)")
    return {"rope_type": "linear", "rope_factor": keys.number("rope.scaling.factor")}


def _head_dim(keys: _Keys, suffix: str) -> int:
    """key_length, which value_length and rope.dimension_count (if any) must equal."""
    head_dim = keys.integer(f"attention.key_length{suffix}")
    others = [f"attention.value_length{suffix}"]
    others += [key for key in (f"rope.dimension_count{suffix}",) if key in keys]
    for key in others:
        if keys.integer(key) != head_dim:
            raise _wrong(
                f"{keys.arch}.{key} {keys.integer(key)} differs from "
                f"attention.key_length{suffix} {head_dim}"
            )
    return head_dim


def _kv_heads(keys: _Keys, kinds: tuple[LayerKind, ...], kind: LayerKind) -> int:
    """The KV heads of one kind of layer; where the model has no such layer, those of the other."""
    counts = keys.integers("attention.head_count_kv", len(kinds))
    of_kind = {
        count for count, layer_kind in zip(counts, kinds, strict=True) if layer_kind == kind
    } or set(counts)
    if len(of_kind) != 1:
        raise _wrong(
            f"{keys.arch}.attention.head_count_kv is {sorted(of_kind)} "
            f"among {kind} layers, expected one number"
        )
    return of_kind.pop()


def _k_eq_v(kinds: tuple[LayerKind, ...], kind: LayerKind, tensor_names: Collection[str]) -> bool:
    """Whether the layers of a kind have no attn_v: all or none."""
    missing = {
        f"blk.{layer}.attn_v.weight" not in tensor_names
        for layer, k in enumerate(kinds)
        if k == kind
    }
    if len(missing) > 1:
        raise _wrong(f"some {kind} layers have an attn_v.weight and some do not")
    return missing == {True}


def _vocab_size(keys: _Keys) -> int:
    tokens = keys.tokens()
    if not tokens:
        return keys.integer("vocab_size")
    if "vocab_size" in keys and keys.integer("vocab_size") != len(tokens):
        raise _wrong(
            f"{keys.arch}.vocab_size {keys.integer('vocab_size')} differs from "
            f"{len(tokens)} tokenizer.ggml.tokens"
        )
    return len(tokens)


def _softcap(keys: _Keys) -> float | None:
    """Gemma 4 states it; Gemma 3 has none."""
    if keys.arch == "gemma3" and "final_logit_softcapping" not in keys:
        return None
    return keys.number("final_logit_softcapping")


def _gemma3_scale(keys: _Keys, num_layers: int) -> float:
    width = _head_dim(keys, "")
    if num_layers == GEMMA3_27B_LAYERS:
        width = keys.integer("embedding_length") // keys.integer("attention.head_count")
    return float(width**-0.5)


def _stop_ids(keys: _Keys) -> tuple[int, ...]:
    """The file's eos and the tokens that end a turn, ascending."""
    wanted = _STOP_TOKENS[keys.arch]
    ids = {index for index, text in enumerate(keys.tokens()) if text in wanted}
    for key in ("eos_token_id", "eot_token_id"):
        if key == "eos_token_id" or f"tokenizer.ggml.{key}" in keys.metadata:
            token = keys.tokenizer_id(key)
            ids |= set() if token is None else {token}
    return tuple(sorted(ids))
