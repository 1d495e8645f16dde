"""The frozen description of one dense Gemma decoder: sizes, attention kinds, constants, stop ids.

Everything that the model, the exporter and the C++ engine need to know about an architecture is a
field here and nothing is implied by a name. Invariant: a `GemmaConfig` that exists has passed
`_check_*`; no other place validates.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

LayerKind = Literal["sliding", "full"]
RopeType = Literal["default", "linear", "proportional"]
ScaleDtype = Literal["weights", "float32", "float16", "bfloat16"]
ChatTemplate = Literal["gemma3", "gemma4"]

MAX_LAYERS = 1024
MAX_SIZE = (
    1 << 24
)  # larger than any width, vocabulary or context of these models; keeps products within int64


class ConfigError(ValueError):
    """A configuration that cannot be; the message names the field and the numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Attention of one kind of layer (sliding or full).

    Queries have `GemmaConfig.num_heads` heads of `head_dim`; keys and values have `kv_heads`.
    """

    kv_heads: int
    head_dim: int
    rope_theta: float
    rope_type: RopeType
    rotary_fraction: float  # share of the head's pairs that turn; below 1 only for "proportional"
    rope_factor: float  # positions are divided by it; 1 for "default"
    window: int | None  # a query at p sees keys in (p - window, p]; None: [0, p]
    k_eq_v: bool  # no v_proj: values are k_proj's output, before k_norm and RoPE

    def __post_init__(self) -> None:
        _check_types(self)
        _check_size("kv_heads", self.kv_heads)
        _check_size("head_dim", self.head_dim)
        if self.window is not None:
            _check_size("window", self.window)
        _check_positive("rope_theta", self.rope_theta)
        _check_positive("rope_factor", self.rope_factor)
        if self.head_dim % 2:
            raise ConfigError(
                f"head_dim {self.head_dim} is odd: RoPE turns pairs (use an even size)"
            )
        if not 0.0 < self.rotary_fraction <= 1.0:
            raise ConfigError(f"rotary_fraction {self.rotary_fraction} is outside (0, 1]")
        if self.rotary_fraction != 1.0 and self.rope_type != "proportional":
            raise ConfigError(
                f"rotary_fraction {self.rotary_fraction} needs rope_type 'proportional', "
                f"not {self.rope_type!r}"
            )
        if self.rope_factor != 1.0 and self.rope_type == "default":
            raise ConfigError(
                f"rope_factor {self.rope_factor} needs a rope_type other than 'default'"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GemmaConfig:
    """One dense text decoder of the Gemma 3 or Gemma 4 family."""

    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    sliding: AttentionConfig
    full: AttentionConfig
    layer_kinds: tuple[LayerKind, ...]
    rms_norm_eps: float
    attention_scale: float
    normalize_v: bool  # values pass a weightless RMSNorm
    layer_scalar: bool  # each layer's output is multiplied by a stored number
    final_softcap: float | None  # logits = cap * tanh(logits / cap)
    embed_scale_dtype: (
        ScaleDtype  # sqrt(hidden_size) is rounded to this type; "weights": the embedding's own
    )
    norm_offset: bool  # Hugging Face checkpoints store w, the factor is 1 + w (Gemma 3)
    max_positions: int
    tied_embeddings: bool
    bos_id: int | None
    stop_ids: tuple[int, ...]
    chat_template: ChatTemplate | None

    def __post_init__(self) -> None:
        _check_types(self)
        self._check_sizes()
        self._check_attention()
        self._check_ids()

    def _check_sizes(self) -> None:
        for field in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_heads",
            "max_positions",
        ):
            _check_size(field, getattr(self, field))
        if not 1 <= self.num_layers <= MAX_LAYERS:
            raise ConfigError(f"num_layers {self.num_layers} is outside 1..{MAX_LAYERS}")
        if len(self.layer_kinds) != self.num_layers:
            raise ConfigError(
                f"layer_kinds names {len(self.layer_kinds)} layers, num_layers is {self.num_layers}"
            )
        _check_positive("rms_norm_eps", self.rms_norm_eps)
        _check_positive("attention_scale", self.attention_scale)
        if self.final_softcap is not None:
            _check_positive("final_softcap", self.final_softcap)

    def _check_attention(self) -> None:
        for kind, attention in (("sliding", self.sliding), ("full", self.full)):
            if self.num_heads % attention.kv_heads:
                raise ConfigError(
                    f"{kind}.kv_heads {attention.kv_heads} does not divide "
                    f"num_heads {self.num_heads}"
                )
        if self.sliding.window is None:
            raise ConfigError(
                "sliding.window is missing: sliding layers need a window of at least 1"
            )
        if self.full.window is not None:
            raise ConfigError(f"full.window is {self.full.window}: full layers have none")

    def _check_ids(self) -> None:
        bos = () if self.bos_id is None else (self.bos_id,)
        for field, ids in (("bos_id", bos), ("stop_ids", self.stop_ids)):
            for token in ids:
                if not 0 <= token < self.vocab_size:
                    raise ConfigError(
                        f"{field}: {token} is outside the vocabulary of {self.vocab_size}"
                    )

    def attention(self, layer: int) -> AttentionConfig:
        """The attention of layer `layer` (0-based)."""
        return self.sliding if self.layer_kinds[layer] == "sliding" else self.full

    def embed_scale(self, weights_dtype: torch.dtype) -> float:
        """sqrt(hidden_size) as the model multiplies it: rounded to `embed_scale_dtype`.

        Hugging Face rounds it to the type of the embedding: 73.3212 is 73.5 in bfloat16.
        """
        dtype = (
            weights_dtype
            if self.embed_scale_dtype == "weights"
            else getattr(torch, self.embed_scale_dtype)
        )
        return torch.tensor(math.sqrt(self.hidden_size), dtype=torch.float64).to(dtype).item()

    def to_json(self) -> dict[str, Any]:
        """Every field as plain JSON values; `from_json` reads it back equal."""
        return {key: _to_json_value(value) for key, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GemmaConfig:
        """The inverse of `to_json`. Raises ConfigError for a missing, unknown or ill-typed key."""
        values = _fields_from_json(cls, data, "config")
        for kind in ("sliding", "full"):
            values[kind] = AttentionConfig(
                **_fields_from_json(AttentionConfig, values[kind], f"config.{kind}")
            )
        for field in ("layer_kinds", "stop_ids"):
            if not isinstance(values[field], list):
                raise ConfigError(
                    f"config.{field}: expected a list, got {type(values[field]).__name__}"
                )
            values[field] = tuple(values[field])
        return cls(**values)


def _to_json_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _fields_from_json(cls: type, data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected an object, got {type(data).__name__}")
    names = {field.name for field in dataclasses.fields(cls)}
    for problem, keys in (("missing", names - set(data)), ("unknown", set(data) - names)):
        if keys:
            raise ConfigError(f"{where}: {problem} key {', '.join(sorted(map(str, keys)))}")
    values = dict(data)
    for key, hint in get_type_hints(cls).items():
        takes_float = hint is float or float in get_args(hint)
        if takes_float and type(values[key]) is int and abs(values[key]) <= MAX_SIZE:
            values[key] = float(values[key])  # JSON writers may drop the ".0"
    return values


def _check_types(config: Any) -> None:
    """Checks every field of a config dataclass against its annotation."""
    for key, hint in get_type_hints(type(config)).items():
        value = getattr(config, key)
        if not _has_type(value, hint):
            expected = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            raise ConfigError(f"{key}: {value!r} is not {expected}")


def _has_type(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin is tuple:
        return isinstance(value, tuple) and all(
            _has_type(item, get_args(hint)[0]) for item in value
        )
    if origin is not None:  # a union
        return any(_has_type(value, option) for option in get_args(hint))
    return type(value) is hint


def _check_size(name: str, value: int) -> None:
    if not 1 <= value <= MAX_SIZE:
        raise ConfigError(f"{name} {value} is outside 1..{MAX_SIZE}")


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0.0):
        raise ConfigError(f"{name} {value} is not a positive finite number")
