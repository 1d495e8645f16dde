"""Tests of gemma_config and named_configs."""

import contextlib
import dataclasses
import json
from typing import Any

import pytest
import torch

from python.model.gemma_config import ConfigError, GemmaConfig
from python.model.named_configs import (
    NAMED,
    named_config,
    tiny_gemma3,
    tiny_gemma4,
    with_known_name,
)

ALL = [*(make() for make in NAMED.values()), tiny_gemma3(), tiny_gemma4(num_layers=2, window=5)]


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_json_round_trip_keeps_every_field(config: GemmaConfig) -> None:
    data = json.loads(json.dumps(config.to_json()))
    assert set(data) == {field.name for field in dataclasses.fields(GemmaConfig)}
    assert GemmaConfig.from_json(data) == config


def test_whole_json_numbers_are_read_as_floats() -> None:
    data = tiny_gemma4().to_json()
    data["attention_scale"] = 1
    data["final_softcap"] = 30
    data["full"]["rope_theta"] = 1000000
    assert GemmaConfig.from_json(data) == tiny_gemma4()


def test_the_31b_has_the_published_sizes() -> None:
    config = named_config("gemma4_31b")
    assert config.layer_kinds.count("sliding") == 50
    full_layers = [layer for layer, kind in enumerate(config.layer_kinds) if kind == "full"]
    assert full_layers == list(range(5, 60, 6))
    assert config.attention(5).head_dim == 512
    assert config.attention(6).head_dim == 256


def test_embedding_scale_is_rounded_to_the_stated_type() -> None:
    config = named_config("gemma4_31b")
    assert config.embed_scale(torch.float32) == 73.5
    as_stored = dataclasses.replace(config, embed_scale_dtype="weights")
    assert as_stored.embed_scale(torch.bfloat16) == 73.5
    assert as_stored.embed_scale(torch.float32) == pytest.approx(73.32121, abs=1e-5)
    in_float32 = dataclasses.replace(config, embed_scale_dtype="float32")
    assert in_float32.embed_scale(torch.bfloat16) == pytest.approx(73.32121, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 0}, "vocab_size 0 is outside 1..16777216"),
        ({"hidden_size": True}, "hidden_size: True is not int"),
        ({"num_layers": 7}, "layer_kinds names 6 layers, num_layers is 7"),
        ({"num_heads": 3}, "sliding.kv_heads 2 does not divide num_heads 3"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps nan is not a positive finite number"),
        ({"final_softcap": -30.0}, "final_softcap -30.0 is not a positive finite number"),
        ({"stop_ids": (1, 256)}, "stop_ids: 256 is outside the vocabulary of 256"),
        ({"chat_template": "chatml"}, "chat_template: 'chatml' is not"),
        ({"sliding": None}, "sliding: None is not AttentionConfig"),
    ],
)
def test_impossible_fields_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        dataclasses.replace(tiny_gemma4(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_dim": 63}, "head_dim 63 is odd"),
        ({"rotary_fraction": 0.5}, "rotary_fraction 0.5 needs rope_type 'proportional'"),
        ({"rope_factor": 8.0}, "rope_factor 8.0 needs a rope_type other than 'default'"),
        ({"window": 0}, "window 0 is outside"),
        ({"rope_type": "yarn"}, "rope_type: 'yarn' is not"),
    ],
)
def test_impossible_attention_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(tiny_gemma4().sliding, **changes)


def test_kinds_must_have_their_windows() -> None:
    config = tiny_gemma4()
    with pytest.raises(ConfigError, match=r"sliding\.window is missing"):
        dataclasses.replace(config, sliding=config.full)
    with pytest.raises(ConfigError, match=r"full\.window is 16"):
        dataclasses.replace(config, full=config.sliding)


def test_json_keys_must_be_exactly_the_fields() -> None:
    data = tiny_gemma4().to_json()
    with pytest.raises(ConfigError, match="config: missing key normalize_v, num_heads"):
        GemmaConfig.from_json(
            {k: v for k, v in data.items() if k not in ("num_heads", "normalize_v")}
        )
    with pytest.raises(ConfigError, match="config: unknown key colour"):
        GemmaConfig.from_json(data | {"colour": 1})
    with pytest.raises(ConfigError, match=r"config\.full: unknown key colour"):
        GemmaConfig.from_json(data | {"full": data["full"] | {"colour": 1}})
    with pytest.raises(ConfigError, match=r"config\.sliding: expected an object, got list"):
        GemmaConfig.from_json(data | {"sliding": []})


JUNK: list[Any] = [None, True, -1, 0, 1 << 70, 1e400, float("nan"), "x", [], {}, [[]], {"a": 1}]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_in_any_field_is_a_config_error_or_a_valid_config(junk: Any) -> None:
    data = tiny_gemma4().to_json()
    for key in data:
        _read_or_refuse(data | {key: junk})
    for key in data["full"]:
        _read_or_refuse(data | {"full": data["full"] | {key: junk}})


def _read_or_refuse(data: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        GemmaConfig.from_json(data)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no architecture is called 'gemma5' .*gemma4_31b"):
        named_config("gemma5")


def test_a_config_takes_the_name_of_the_architecture_that_it_equals() -> None:
    config = dataclasses.replace(named_config("gemma4_12b"), name="gemma4", max_positions=4096)
    assert with_known_name(config).name == "gemma4_12b"
    other = dataclasses.replace(config, intermediate_size=15361)
    assert with_known_name(other).name == "gemma4"
