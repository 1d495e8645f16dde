"""GemmaConfig from a Hugging Face config.json, in every form that transformers has written.

The text keys are at the top or in `text_config`. Gemma 4's full layers have their own sizes, either
in `global_head_dim` and `num_global_key_value_heads` or (re-saved by transformers 5) in
`per_layer_config`. Invariant: a size or constant that the file does not state is an error that
names the key; only what transformers itself leaves out of a file when it is off (towers, experts,
biases) may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from python.model.gemma_config import (
    MAX_LAYERS,
    AttentionConfig,
    ConfigError,
    GemmaConfig,
    LayerKind,
)
from python.model.named_configs import layer_pattern, with_known_name

_FAMILIES = {
    "gemma3_text": "gemma3",
    "gemma4_text": "gemma4",
    "gemma4_unified_text": "gemma4",
}
_KINDS: dict[str, LayerKind] = {"sliding_attention": "sliding", "full_attention": "full"}
_MULTIMODAL = {
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
}
_DRAFTERS = ("gemma4_assistant", "gemma4_unified_assistant")
# Keys that are off (or absent) in a model that we can run, with the values that mean "off".
_MUST_BE_OFF: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "attn_logit_softcapping": (None,),
    "enable_moe_block": (False, None),
    "num_kv_shared_layers": (0, None),
    "use_bidirectional_attention": (
        None,
        False,
        "vision",
    ),  # "vision": image tokens only, text stays causal
}


def _wrong(problem: str) -> ConfigError:
    return ConfigError(f"config.json: {problem}")


def config_from_hf(data: Mapping[str, Any], name: str | None = None) -> GemmaConfig:
    """The configuration that a parsed config.json describes.

    `name` is the configuration's name; by default that of the known architecture it equals, else
    its family's. Raises ConfigError for a missing, contradictory or unsupported key.
    """
    text = _TextConfig(data)
    family = _FAMILIES[text.model_type]
    kinds = _layer_kinds(text)
    attention = _gemma4_attention(text, kinds) if family == "gemma4" else _gemma3_attention(text)
    config = GemmaConfig(
        name=name or family,
        vocab_size=text.take("vocab_size"),
        hidden_size=text.take("hidden_size"),
        intermediate_size=text.take("intermediate_size"),
        num_layers=text.take("num_hidden_layers"),
        num_heads=text.take("num_attention_heads"),
        sliding=attention["sliding"],
        full=attention["full"],
        layer_kinds=kinds,
        rms_norm_eps=text.number("rms_norm_eps"),
        attention_scale=_attention_scale(text),
        normalize_v=family == "gemma4",
        layer_scalar=family == "gemma4",
        final_softcap=None
        if text.take("final_logit_softcapping") is None
        else text.number("final_logit_softcapping"),
        embed_scale_dtype=text.dtype(),
        norm_offset=family == "gemma3",
        max_positions=text.take("max_position_embeddings"),
        tied_embeddings=text.get(
            "tie_word_embeddings", True
        ),  # before transformers 5, files state it only where it is false
        bos_id=text.take("bos_token_id"),
        stop_ids=text.stop_ids(),
        chat_template="gemma4" if family == "gemma4" else "gemma3",
    )
    return config if name else with_known_name(config)


class _TextConfig:
    """The keys of the text model, wherever the file has them."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        if not isinstance(data, Mapping):
            raise _wrong(f"expected an object, got {type(data).__name__}")
        nested = data.get("text_config", data)
        if not isinstance(nested, Mapping):
            raise _wrong(f"text_config is {type(nested).__name__}, expected an object")
        self._outer = data
        self._text = nested
        self.model_type = self._model_type()
        for key, off in _MUST_BE_OFF.items():
            if self.get(key, off[0]) not in off:
                raise _wrong(f"{key} = {self.get(key, None)!r} is not supported (only {off[0]!r})")
        if self.take("hidden_activation") != "gelu_pytorch_tanh":
            activation = self.take("hidden_activation")
            raise _wrong(f"hidden_activation = {activation!r} is not supported (gelu_pytorch_tanh)")
        self._check_no_per_layer_inputs()

    def _model_type(self) -> str:
        outer, text = str(self._outer.get("model_type")), str(self._text.get("model_type"))
        stated = outer if "model_type" not in self._text else text
        model_type = _MULTIMODAL.get(stated, stated)
        if outer in _DRAFTERS:
            raise _wrong(
                f"model_type {outer!r} is Gemma 4's drafter, which guesses tokens for the model and"
                " cannot run without it (use the model's own folder)"
            )
        if model_type not in _FAMILIES:
            raise _wrong(f"model_type {stated!r} is not supported ({', '.join(_FAMILIES)})")
        if _MULTIMODAL.get(outer, model_type) != model_type:
            raise _wrong(f"model_type {outer!r} contradicts text_config.model_type {text!r}")
        return model_type

    def _check_no_per_layer_inputs(self) -> None:
        key = "hidden_size_per_layer_input"
        absent_means_none = (
            0 if self.model_type != "gemma4_text" else _MISSING
        )  # transformers' default is 256 there
        if self.get(key, absent_means_none) not in (0, None):
            raise _wrong(f"{key} = {self.get(key, 0)} is not supported (E2B and E4B need it)")

    def get(self, key: str, default: Any) -> Any:
        """The key's value, from either place, which must agree; `default` where it is absent."""
        inner, outer = self._text.get(key, _MISSING), self._outer.get(key, _MISSING)
        if inner is not _MISSING and outer is not _MISSING and inner != outer:
            raise _wrong(f"{key} is {outer!r} at the top and {inner!r} in text_config")
        value = outer if inner is _MISSING else inner
        if value is _MISSING and default is _MISSING:
            raise _wrong(f"{key} is missing")
        return default if value is _MISSING else value

    def has(self, key: str) -> bool:
        return key in self._text or key in self._outer

    def take(self, key: str) -> Any:
        """The key's value. Raises ConfigError where it is absent."""
        return self.get(key, _MISSING)

    def number(self, key: str) -> float:
        return _number(self.take(key), key)

    def dtype(self) -> Any:
        """What sqrt(hidden_size) is rounded to: the type that the checkpoint states."""
        stated = {
            str(place[key]).removeprefix("torch.")
            for place in (self._outer, self._text)
            for key in ("dtype", "torch_dtype")
            if place.get(key) is not None
        }
        if len(stated) > 1:
            raise _wrong(f"dtype is stated as {' and as '.join(sorted(stated))}")
        return stated.pop() if stated else "weights"

    def stop_ids(self) -> tuple[int, ...]:
        """eos_token_id of both places: the top may list more than text_config does."""
        if not self.has("eos_token_id"):
            raise _wrong("eos_token_id is missing")
        ids: dict[int, None] = {}
        for place in (self._outer, self._text):
            value = place.get("eos_token_id")
            for token in value if isinstance(value, list) else [value]:
                if token is not None:
                    ids[_integer(token, "eos_token_id")] = None
        return tuple(ids)


_MISSING: Any = object()


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise _wrong(f"{key} = {value!r} is not a number")
    return float(value)


def _integer(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(f"{key} = {value!r} is not an integer")
    return value


def _attention_scale(text: _TextConfig) -> float:
    """1 for Gemma 4, whose norms hold the scale; query_pre_attn_scalar^-0.5 for Gemma 3."""
    if _FAMILIES[text.model_type] == "gemma4":
        return 1.0
    scalar = text.number("query_pre_attn_scalar")
    if not scalar > 0.0:
        raise _wrong(f"query_pre_attn_scalar = {scalar} is not positive")
    return float(scalar**-0.5)


def _layer_kinds(text: _TextConfig) -> tuple[LayerKind, ...]:
    count = text.take("num_hidden_layers")
    if not 1 <= _integer(count, "num_hidden_layers") <= MAX_LAYERS:
        raise _wrong(f"num_hidden_layers = {count} is outside 1..{MAX_LAYERS}")
    if not text.has("layer_types") and text.has(
        "sliding_window_pattern"
    ):  # the first Gemma 3 files
        period = _integer(text.take("sliding_window_pattern"), "sliding_window_pattern")
        if period < 1:
            raise _wrong(f"sliding_window_pattern = {period} is not positive")
        return layer_pattern(count, period)
    types = text.take("layer_types")
    if not isinstance(types, list) or not all(
        isinstance(kind, str) and kind in _KINDS for kind in types
    ):
        raise _wrong(f"layer_types may list {' and '.join(_KINDS)} only")
    if len(types) != count:
        raise _wrong(f"layer_types lists {len(types)} layers, num_hidden_layers is {count}")
    if text.model_type != "gemma3_text" and types[-1] != "full_attention":
        raise _wrong("the last of layer_types is not full_attention, as transformers makes it")
    return tuple(_KINDS[kind] for kind in types)


def _gemma4_attention(
    text: _TextConfig, kinds: tuple[LayerKind, ...]
) -> dict[str, AttentionConfig]:
    k_eq_v = text.take("attention_k_eq_v")
    sizes = {
        "sliding": {key: text.take(key) for key in _SIZES},
        "full": _full_sizes(text, kinds, k_eq_v),
    }
    window = {"sliding": text.take("sliding_window"), "full": None}
    return {
        kind: AttentionConfig(
            kv_heads=sizes[kind]["num_key_value_heads"],
            head_dim=sizes[kind]["head_dim"],
            window=window[kind],
            k_eq_v=k_eq_v and kind == "full",
            **_rope(text, kind),
        )
        for kind in ("sliding", "full")
    }


_SIZES = ("head_dim", "num_key_value_heads")


def _full_sizes(text: _TextConfig, kinds: tuple[LayerKind, ...], k_eq_v: bool) -> dict[str, int]:
    """Head size and KV heads of the full layers, from either form; where both are, they agree."""
    found = []
    if text.has("per_layer_config"):
        found.append(_from_per_layer_config(text, kinds))
    if text.has("global_head_dim") or not found:
        found.append(_from_global_keys(text, k_eq_v))
    if found[0] != found[-1]:
        raise _wrong(f"per_layer_config says {found[0]}, the global_* keys say {found[-1]}")
    return found[0]


def _from_global_keys(text: _TextConfig, k_eq_v: bool) -> dict[str, int]:
    if not text.has("global_head_dim"):
        raise _wrong(
            "neither per_layer_config nor global_head_dim is there: full layers have no size"
        )
    kv_heads, sliding_kv_heads = (
        text.take("num_global_key_value_heads"),
        text.take("num_key_value_heads"),
    )
    if not k_eq_v and kv_heads not in (
        None,
        sliding_kv_heads,
    ):  # transformers reads the key only with attention_k_eq_v
        raise _wrong(
            f"num_global_key_value_heads = {kv_heads} contradicts attention_k_eq_v = false"
        )
    return {
        "head_dim": text.take("global_head_dim"),
        "num_key_value_heads": sliding_kv_heads if kv_heads is None else kv_heads,
    }


def _from_per_layer_config(text: _TextConfig, kinds: tuple[LayerKind, ...]) -> dict[str, int]:
    base = {key: text.take(key) for key in _SIZES}
    layers = _per_layer_overrides(text.take("per_layer_config"), len(kinds))
    sizes: dict[str, dict[str, int]] = {"sliding": base}
    for layer, kind in enumerate(kinds):
        merged = base | layers.get(layer, {})
        if sizes.setdefault(kind, merged) != merged:
            raise _wrong(
                f"per_layer_config makes layer {layer} {merged}, {kind} layers are {sizes[kind]}"
            )
    return sizes.get("full", base)


def _per_layer_overrides(raw: Any, num_layers: int) -> dict[int, dict[str, int]]:
    """per_layer_config with its keys ("05") as layer numbers."""
    if not isinstance(raw, Mapping):
        raise _wrong(f"per_layer_config is {type(raw).__name__}, expected an object")
    layers: dict[int, dict[str, int]] = {}
    for key, override in raw.items():
        if not re.fullmatch("[0-9]{1,4}", str(key)) or int(key) >= num_layers:
            raise _wrong(f"per_layer_config names layer {key!r}, the model has 0..{num_layers - 1}")
        if not isinstance(override, Mapping) or not set(override) <= set(_SIZES):
            raise _wrong(f"per_layer_config[{key!r}] may set {' and '.join(_SIZES)} only")
        layers[int(key)] = dict(override)
    return layers


def _gemma3_attention(text: _TextConfig) -> dict[str, AttentionConfig]:
    shared = {
        "kv_heads": text.take("num_key_value_heads"),
        "head_dim": text.take("head_dim"),
        "k_eq_v": False,
    }
    window = {"sliding": text.take("sliding_window"), "full": None}
    return {
        kind: AttentionConfig(**shared, window=window[kind], **_rope(text, kind))
        for kind in ("sliding", "full")
    }


def _rope(text: _TextConfig, kind: str) -> dict[str, Any]:
    """The RoPE fields of AttentionConfig."""
    if text.has("rope_parameters"):
        key = f"rope_parameters.{kind}_attention"
        parameters = text.take("rope_parameters")
        parameters = (
            parameters.get(f"{kind}_attention") if isinstance(parameters, Mapping) else None
        )
        if not isinstance(parameters, Mapping):
            raise _wrong(f"{key} is missing")
    elif text.model_type == "gemma3_text":
        key, parameters = "rope_scaling", _old_gemma3_rope(text, kind)
    else:
        raise _wrong("rope_parameters is missing")
    known = ("rope_type", "rope_theta", "partial_rotary_factor", "factor")
    for field in parameters:
        if field not in known:
            raise _wrong(f"{key}.{field} is not supported (known: {', '.join(known)})")
    for field in ("rope_type", "rope_theta"):
        if field not in parameters:
            raise _wrong(f"{key}.{field} is missing")
    return {
        "rope_type": parameters["rope_type"],
        "rope_theta": _number(parameters["rope_theta"], f"{key}.rope_theta"),
        "rotary_fraction": _number(
            parameters.get("partial_rotary_factor", 1.0), f"{key}.partial_rotary_factor"
        ),
        "rope_factor": _number(parameters.get("factor", 1.0), f"{key}.factor"),
    }


def _old_gemma3_rope(text: _TextConfig, kind: str) -> dict[str, Any]:
    """Before transformers 5: rope_theta, rope_scaling (full layers), rope_local_base_freq."""
    if kind == "sliding":
        return {"rope_type": "default", "rope_theta": text.take("rope_local_base_freq")}
    scaling = text.take("rope_scaling") or {"rope_type": "default"}
    if not isinstance(scaling, Mapping):
        raise _wrong(f"rope_scaling is {type(scaling).__name__}, expected an object")
    return {"rope_theta": text.take("rope_theta"), **scaling}
