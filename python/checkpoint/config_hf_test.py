"""Tests of config_hf, with the files that transformers itself writes and with damaged ones."""

import contextlib
import copy
import dataclasses
import json
from typing import Any

import pytest
from transformers import (
    Gemma3Config,
    Gemma3TextConfig,
    Gemma4AssistantConfig,
    Gemma4Config,
    Gemma4TextConfig,
    Gemma4UnifiedAssistantConfig,
)

from python.checkpoint.config_hf import config_from_hf
from python.model.gemma_config import ConfigError, GemmaConfig
from python.model.named_configs import (
    gemma3_270m,
    gemma4_12b,
    gemma4_31b,
    tiny_gemma3,
    tiny_gemma4,
)
from python.model.testing.hf_reference import hf_model

KINDS_31B = [
    "full_attention" if (layer + 1) % 6 == 0 else "sliding_attention" for layer in range(60)
]

# The keys that matter, as the released checkpoint has them (the form before transformers 5).
OLD_31B: dict[str, Any] = {
    "vocab_size": 262144,
    "hidden_size": 5376,
    "intermediate_size": 21504,
    "num_hidden_layers": 60,
    "num_attention_heads": 32,
    "num_key_value_heads": 16,
    "head_dim": 256,
    "global_head_dim": 512,
    "num_global_key_value_heads": 4,
    "attention_k_eq_v": True,
    "sliding_window": 1024,
    "layer_types": KINDS_31B,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 262144,
    "hidden_size_per_layer_input": 0,
    "hidden_activation": "gelu_pytorch_tanh",
    "final_logit_softcapping": 30.0,
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        "full_attention": {
            "rope_type": "proportional",
            "rope_theta": 1000000.0,
            "partial_rotary_factor": 0.25,
        },
    },
    "use_bidirectional_attention": "vision",
    "tie_word_embeddings": True,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "dtype": "bfloat16",
    "model_type": "gemma4_text",
}


def nested(text: dict[str, Any], **outer: Any) -> dict[str, Any]:
    return {"model_type": "gemma4", "text_config": copy.deepcopy(text), **outer}


def resaved(text: dict[str, Any]) -> dict[str, Any]:
    """As transformers 5 writes it again: per_layer_config instead of the global_* keys."""
    data = json.loads(Gemma4TextConfig(**text).to_json_string())
    assert "global_head_dim" not in data
    assert data["per_layer_config"]["05"] == {"head_dim": 512, "num_key_value_heads": 4}
    return data


def test_both_forms_nested_or_not_describe_the_31b() -> None:
    expected = gemma4_31b().to_json() | {"stop_ids": [1]}
    for text in (OLD_31B, resaved(OLD_31B)):
        assert config_from_hf(text).to_json() == expected
        with_more_stops = nested(text, eos_token_id=[1, 106, 50], tie_word_embeddings=True)
        assert config_from_hf(with_more_stops) == gemma4_31b()


def test_the_whole_multimodal_config_reads() -> None:
    data = Gemma4Config(text_config=dict(OLD_31B), dtype="bfloat16").to_dict()
    assert config_from_hf(data).name == "gemma4_31b"


def test_the_12b_reads_under_its_own_model_type() -> None:
    sizes = {
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "num_global_key_value_heads": 1,
        "layer_types": KINDS_31B[:48],
        "eos_token_id": [1, 106, 50],
        "model_type": "gemma4_unified_text",
    }
    text = OLD_31B | sizes
    del text["hidden_size_per_layer_input"]  # the key does not exist there
    assert config_from_hf(text) == gemma4_12b()
    assert config_from_hf(nested(text) | {"model_type": "gemma4_unified"}) == gemma4_12b()


def test_full_layers_that_equal_sliding_ones_have_an_empty_per_layer_config() -> None:
    text = OLD_31B | {"global_head_dim": 256, "num_global_key_value_heads": 16}
    data = json.loads(Gemma4TextConfig(**text).to_json_string())
    assert data["per_layer_config"] == {}
    assert config_from_hf(data).full.head_dim == 256
    assert config_from_hf(data) == config_from_hf(text)


GEMMA3_270M: dict[str, Any] = {
    "vocab_size": 262144,
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "sliding_window": 512,
    "layer_types": KINDS_31B[:18],
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 32768,
    "query_pre_attn_scalar": 256,
    "final_logit_softcapping": None,
    "attn_logit_softcapping": None,
    "hidden_activation": "gelu_pytorch_tanh",
    "rope_theta": 1000000.0,
    "rope_local_base_freq": 10000.0,
    "rope_scaling": None,
    "bos_token_id": 2,
    "eos_token_id": [1, 106],
    "torch_dtype": "bfloat16",
    "model_type": "gemma3_text",
}


def test_both_forms_of_gemma3_describe_the_270m() -> None:
    assert config_from_hf(GEMMA3_270M) == gemma3_270m()
    data = json.loads(Gemma3TextConfig(**GEMMA3_270M).to_json_string())
    assert "rope_theta" not in data
    assert config_from_hf(data) == gemma3_270m()
    by_period = {k: v for k, v in GEMMA3_270M.items() if k != "layer_types"}
    assert config_from_hf(by_period | {"sliding_window_pattern": 6}) == gemma3_270m()


def test_linear_rope_scaling_of_the_larger_gemma3_is_kept() -> None:
    text = GEMMA3_270M | {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    for data in (text, Gemma3Config(text_config=text).to_dict()):
        config = config_from_hf(data)
        assert (config.full.rope_type, config.full.rope_factor) == ("linear", 8.0)
        assert (config.sliding.rope_type, config.sliding.rope_factor) == ("default", 1.0)


REQUIRED = sorted(set(OLD_31B) - {"tie_word_embeddings", "use_bidirectional_attention", "dtype"})


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(key: str) -> None:
    data = {k: v for k, v in OLD_31B.items() if k != key}
    with pytest.raises(ConfigError, match=key):
        config_from_hf(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model_type 'llama' is not supported"),
        ({"enable_moe_block": True}, "enable_moe_block = True is not supported"),
        ({"num_kv_shared_layers": 20}, "num_kv_shared_layers = 20 is not supported"),
        ({"hidden_size_per_layer_input": 256}, "hidden_size_per_layer_input = 256"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention = 'all'"),
        ({"hidden_activation": "silu"}, "hidden_activation = 'silu' is not supported"),
        ({"num_hidden_layers": 61}, "layer_types lists 60 layers, num_hidden_layers is 61"),
        ({"layer_types": [*KINDS_31B[:-1], "linear"]}, "layer_types may list"),
        ({"layer_types": KINDS_31B[::-1]}, "the last of layer_types"),
        ({"per_layer_config": {}}, "per_layer_config says .* the global_"),
        ({"per_layer_config": {"60": {}}}, "names layer '60', the model has 0..59"),
        ({"per_layer_config": {"5": {"rank": 1}}}, r"per_layer_config\['5'\] may set"),
        ({"per_layer_config": {"5": {"head_dim": 512}}}, "makes layer 11 .* full layers are"),
        ({"per_layer_config": {"4": {"head_dim": 64}}}, "makes layer 4 .* sliding layers are"),
        ({"attention_k_eq_v": False}, "num_global_key_value_heads = 4 contradicts"),
        ({"torch_dtype": "float16"}, "dtype is stated as bfloat16 and as float16"),
        ({"text_config": 3}, "text_config is int, expected an object"),
    ],
)
def test_an_unsupported_or_contradictory_key_is_named(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_hf(OLD_31B | changes)


@pytest.mark.parametrize("kind", [Gemma4AssistantConfig, Gemma4UnifiedAssistantConfig])
def test_the_drafters_of_transformers_are_named_for_what_they_are(kind: Any) -> None:
    text = Gemma4TextConfig(hidden_size_per_layer_input=0, vocab_size_per_layer_input=0)
    written = kind(text_config=text).to_dict()
    with pytest.raises(ConfigError, match=f"'{kind.model_type}' is Gemma 4's drafter"):
        config_from_hf(written)


def test_the_top_and_text_config_must_agree() -> None:
    with pytest.raises(ConfigError, match="tie_word_embeddings is False at the top and True in"):
        config_from_hf(nested(OLD_31B, tie_word_embeddings=False))
    with pytest.raises(ConfigError, match="'gemma3' contradicts"):
        config_from_hf(nested(OLD_31B) | {"model_type": "gemma3"})


@pytest.mark.parametrize("field", ["rope_type", "rope_theta"])
def test_a_missing_rope_field_is_named(field: str) -> None:
    data = copy.deepcopy(OLD_31B)
    del data["rope_parameters"]["full_attention"][field]
    with pytest.raises(ConfigError, match=rf"rope_parameters\.full_attention\.{field} is missing"):
        config_from_hf(data)


JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    1 << 2000,
    1e400,
    float("nan"),
    "x",
    [],
    {},
    [[]],
    {"9" * 5000: 1},
]


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk)[:10])
def test_junk_under_any_key_is_refused_with_a_sentence(junk: Any) -> None:
    for base in (OLD_31B, resaved(OLD_31B), GEMMA3_270M):
        for key in base:
            _read_or_refuse(base | {key: junk})
            _read_or_refuse(nested(base, **{key: junk}))
    for kind in ("sliding_attention", "full_attention"):
        rope = OLD_31B["rope_parameters"]
        _read_or_refuse(OLD_31B | {"rope_parameters": rope | {kind: junk}})
        for key in rope[kind]:
            _read_or_refuse(OLD_31B | {"rope_parameters": rope | {kind: rope[kind] | {key: junk}}})


def _read_or_refuse(data: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        config_from_hf(data)


_SMALL: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "vocab_size": 128,
    "stop_ids": (1,),
}


@pytest.mark.parametrize(
    "config",
    [
        tiny_gemma4(),
        tiny_gemma4(num_layers=7, window=7, **_SMALL),
        tiny_gemma3(),
        tiny_gemma3(num_layers=3, window=5, final_softcap=20.0, **_SMALL),
    ],
)
def test_the_configuration_survives_transformers(config: GemmaConfig) -> None:
    read = config_from_hf(hf_model(config, seed=0).config.to_dict(), name=config.name)
    assert read == dataclasses.replace(config, embed_scale_dtype=read.embed_scale_dtype)
