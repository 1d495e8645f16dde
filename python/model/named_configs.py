"""The architectures that we know by name, and small ones of the same shape for tests.

Invariant: a named config equals what the config readers
make of the published checkpoint, but for `NOT_SHAPE`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from python.model.gemma_config import AttentionConfig, ConfigError, GemmaConfig, LayerKind

# Fields in which two checkpoints of one architecture may differ.
NOT_SHAPE = ("name", "stop_ids", "bos_id", "chat_template", "embed_scale_dtype", "max_positions")


def layer_pattern(num_layers: int, period: int) -> tuple[LayerKind, ...]:
    """Every `period`-th layer is full and the others slide."""
    return tuple("sliding" if (layer + 1) % period else "full" for layer in range(num_layers))


def _gemma4(**sizes: Any) -> GemmaConfig:
    """What all Gemma 4 dense models share; `sizes` are the fields in which they differ."""
    kv_heads, full_kv_heads = sizes.pop("kv_heads"), sizes.pop("full_kv_heads")
    head_dim, full_head_dim = sizes.pop("head_dim", 256), sizes.pop("full_head_dim", 512)
    sliding = AttentionConfig(
        kv_heads=kv_heads,
        head_dim=head_dim,
        rope_theta=1e4,
        rope_type="default",
        rotary_fraction=1.0,
        rope_factor=1.0,
        window=sizes.pop("window", 1024),
        k_eq_v=False,
    )
    full = AttentionConfig(
        kv_heads=full_kv_heads,
        head_dim=full_head_dim,
        rope_theta=1e6,
        rope_type="proportional",
        rotary_fraction=0.25,
        rope_factor=1.0,
        window=None,
        k_eq_v=True,
    )
    shared: dict[str, Any] = {
        "vocab_size": 262144,
        "sliding": sliding,
        "full": full,
        "rms_norm_eps": 1e-6,
        "attention_scale": 1.0,
        "normalize_v": True,
        "layer_scalar": True,
        "final_softcap": 30.0,
        "embed_scale_dtype": "bfloat16",
        "norm_offset": False,
        "max_positions": 262144,
        "tied_embeddings": True,
        "bos_id": 2,
        "stop_ids": (1, 106, 50),
        "chat_template": "gemma4",
    }
    return GemmaConfig(**(shared | sizes))


def gemma4_31b() -> GemmaConfig:
    """Gemma 4 31B-IT, text: 50 sliding and 10 full layers, 30.7e9 weights."""
    return _gemma4(
        name="gemma4_31b",
        hidden_size=5376,
        intermediate_size=21504,
        num_layers=60,
        num_heads=32,
        kv_heads=16,
        full_kv_heads=4,
        layer_kinds=layer_pattern(60, 6),
    )


def gemma4_12b() -> GemmaConfig:
    """Gemma 4 12B-IT, text: the same graph as the 31B."""
    return _gemma4(
        name="gemma4_12b",
        hidden_size=3840,
        intermediate_size=15360,
        num_layers=48,
        num_heads=16,
        kv_heads=8,
        full_kv_heads=1,
        layer_kinds=layer_pattern(48, 6),
    )


def _gemma3(**sizes: Any) -> GemmaConfig:
    """What Gemma 3 text models share; `sizes` are the fields in which they differ."""
    kv_heads, head_dim = sizes.pop("kv_heads"), sizes.pop("head_dim", 256)
    sliding = AttentionConfig(
        kv_heads=kv_heads,
        head_dim=head_dim,
        rope_theta=1e4,
        rope_type="default",
        rotary_fraction=1.0,
        rope_factor=1.0,
        window=sizes.pop("window", 512),
        k_eq_v=False,
    )
    shared: dict[str, Any] = {
        "vocab_size": 262144,
        "sliding": sliding,
        "full": dataclasses.replace(sliding, rope_theta=1e6, window=None),
        "rms_norm_eps": 1e-6,
        "attention_scale": head_dim**-0.5,
        "normalize_v": False,
        "layer_scalar": False,
        "final_softcap": None,
        "embed_scale_dtype": "bfloat16",
        "norm_offset": True,
        "max_positions": 32768,
        "tied_embeddings": True,
        "bos_id": 2,
        "stop_ids": (1, 106),
        "chat_template": "gemma3",
    }
    return GemmaConfig(**(shared | sizes))


def gemma3_270m() -> GemmaConfig:
    """Gemma 3 270M: small enough for a smoke test on real weights."""
    return _gemma3(
        name="gemma3_270m",
        hidden_size=640,
        intermediate_size=2048,
        num_layers=18,
        num_heads=4,
        kv_heads=1,
        layer_kinds=layer_pattern(18, 6),
    )


def tiny_gemma4(**changes: Any) -> GemmaConfig:
    """Shaped like Gemma 4 and small; `changes` replace fields (also window, kv_heads, head_dim)."""
    num_layers = changes.get("num_layers", 6)
    sizes: dict[str, Any] = {
        "name": "tiny_gemma4",
        "vocab_size": 256,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_layers": num_layers,
        "num_heads": 4,
        "kv_heads": 2,
        "full_kv_heads": 1,
        "head_dim": 64,
        "full_head_dim": 128,
        "window": 16,
        "max_positions": 512,
        "stop_ids": (1, 106, 50),
        "embed_scale_dtype": "weights",
        "layer_kinds": _tiny_kinds(num_layers),
    }
    return _gemma4(**(sizes | changes))


def tiny_gemma3(**changes: Any) -> GemmaConfig:
    """Shaped like Gemma 3 and small; `changes` replace fields (also window, kv_heads, head_dim)."""
    num_layers = changes.get("num_layers", 6)
    sizes: dict[str, Any] = {
        "name": "tiny_gemma3",
        "vocab_size": 256,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_layers": num_layers,
        "num_heads": 4,
        "kv_heads": 1,
        "head_dim": 64,
        "window": 16,
        "max_positions": 512,
        "embed_scale_dtype": "weights",
        "layer_kinds": _tiny_kinds(num_layers),
    }
    return _gemma3(**(sizes | changes))


def _tiny_kinds(num_layers: int) -> tuple[LayerKind, ...]:
    """The usual pattern, with a full last layer (as transformers insists for Gemma 4)."""
    return (*layer_pattern(num_layers, 6)[:-1], "full")


NAMED: dict[str, Callable[[], GemmaConfig]] = {
    "gemma4_31b": gemma4_31b,
    "gemma4_12b": gemma4_12b,
    "gemma3_270m": gemma3_270m,
}


def named_config(name: str) -> GemmaConfig:
    """The named architecture. Raises ConfigError naming those that exist."""
    if name not in NAMED:
        raise ConfigError(f"no architecture is called {name!r} (known: {', '.join(NAMED)})")
    return NAMED[name]()


def with_known_name(config: GemmaConfig, names: Sequence[str] = tuple(NAMED)) -> GemmaConfig:
    """`config` under the name of the architecture that it equals; unchanged if there is none."""
    for name in names:
        known = NAMED[name]()
        if dataclasses.replace(known, **{key: getattr(config, key) for key in NOT_SHAPE}) == config:
            return dataclasses.replace(config, name=name)
    return config
