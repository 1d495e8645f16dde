"""Tests of recipe."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from python.console.errors import FormatError, UsageError, UserError
from python.model.named_configs import gemma4_31b
from python.model.weight_names import expected_weights
from python.quant import recipe
from python.quant.recipe import QuantConfig, QuantRecipe, QuantRule

_LAYERS = 60


def all_names() -> list[str]:
    return [*expected_weights(gemma4_31b()), "lm_head.weight"]


@pytest.mark.parametrize("name", list(recipe.NAMED))
def test_named_recipes_decide_on_every_weight(name: str) -> None:
    chosen = recipe.recipe(name, _LAYERS)
    for weight in all_names():
        config = chosen.config_for(weight)
        if name == "none" or not recipe.is_quantizable(weight):
            assert config is None
        elif weight in ("embed_tokens.weight", "lm_head.weight"):
            assert config == QuantConfig(bits=8, group=32, symmetric=True, method="min_max")
        else:
            assert config is not None


def test_default_is_symmetric_int4_of_32() -> None:
    config = recipe.recipe("default", _LAYERS).config_for("layers.7.mlp.up_proj.weight")
    assert config == QuantConfig(bits=4, group=32, symmetric=True, method="min_max")


def test_sensitive_keeps_the_edges() -> None:
    chosen = recipe.recipe("sensitive", _LAYERS)
    for layer in range(_LAYERS):
        for part in ("self_attn.v_proj", "mlp.down_proj", "mlp.up_proj", "self_attn.k_proj"):
            config = chosen.config_for(f"layers.{layer}.{part}.weight")
            assert config is not None
            edge = layer < 15 or layer >= 45
            if edge and part in ("self_attn.v_proj", "mlp.down_proj"):
                assert (config.bits, config.method) == (8, "min_max")
            else:
                assert (config.bits, config.method, config.symmetric) == (4, "hqq", False)


def test_sensitive_takes_k_proj_for_v_where_it_makes_the_values() -> None:
    config = gemma4_31b()
    chosen = recipe.recipe_for("sensitive", config)
    bits: dict[tuple[str, bool], set[int]] = {}
    for layer, kind in enumerate(config.layer_kinds):
        found = chosen.config_for(f"layers.{layer}.self_attn.k_proj.weight")
        assert found is not None
        bits.setdefault((kind, layer < 15 or layer >= 45), set()).add(found.bits)
    assert bits == {
        ("sliding", True): {4}, ("full", True): {8}, ("sliding", False): {4}, ("full", False): {4}
    }  # fmt: skip


@pytest.mark.parametrize(("name", "method"), [("calibrated", "gptq"), ("qat", "lattice")])
def test_recipes_that_are_default_by_another_method(name: str, method: str) -> None:
    chosen, plain = recipe.recipe(name, _LAYERS), recipe.recipe("default", _LAYERS)
    assert chosen.needs_calibration() == (name == "calibrated")
    assert not plain.needs_calibration()
    for weight in all_names():
        config, simple = chosen.config_for(weight), plain.config_for(weight)
        if config is not None and weight.startswith("layers."):
            assert (config.method, replace(config, method="min_max")) == (method, simple)
        else:
            assert config == simple


def test_gptq_refuses_wide_groups() -> None:
    for group, shown in ((512, "512"), (None, "row")):
        with pytest.raises(UserError, match=f"groups of at most 256 columns, not '?{shown}"):
            QuantConfig(bits=4, group=group, symmetric=True, method="gptq")


def test_norms_are_never_quantized() -> None:
    eager = QuantRecipe(name="x", rules=(QuantRule(pattern=".*", config=recipe._INT4),))
    for weight in all_names():
        assert (eager.config_for(weight) is not None) == recipe.is_quantizable(weight)


def test_the_first_match_wins_and_the_whole_name_counts() -> None:
    first = QuantRule(pattern=r".*up_proj\.weight", config=None, layers=frozenset({1}))
    chosen = QuantRecipe(
        name="x", rules=(first, QuantRule(pattern=r"layers.*", config=recipe._INT4))
    )
    assert chosen.rule_for("layers.1.mlp.up_proj.weight")[0] == 0
    assert chosen.rule_for("layers.2.mlp.up_proj.weight")[0] == 1
    assert not QuantRule(pattern="up_proj", config=None).matches("layers.1.mlp.up_proj.weight")


def test_every_weight_must_match() -> None:
    chosen = QuantRecipe(name="mine", rules=(QuantRule(pattern="embed.*", config=None),))
    with pytest.raises(
        UserError, match=r"recipe mine: no rule matches layers.0.mlp.up_proj.weight"
    ):
        chosen.config_for("layers.0.mlp.up_proj.weight")


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError,
        match=r"recipe 'fp7' is unknown .*default, sensitive, calibrated, qat, none or a JSON file",
    ):
        recipe.recipe("fp7", _LAYERS)


def _write(tmp_path: Path, value: Any) -> QuantRecipe:
    (tmp_path / "r.json").write_text(json.dumps(value))
    return recipe.recipe("r.json", _LAYERS, tmp_path)


@pytest.mark.parametrize("name", list(recipe.NAMED))
def test_a_recipe_is_data(tmp_path: Path, name: str) -> None:
    named = recipe.recipe(name, _LAYERS)
    read = _write(tmp_path, named.to_json())
    assert read.rules == named.rules
    assert recipe.digest_text(read) == recipe.digest_text(named)


def test_layers_in_a_file(tmp_path: Path) -> None:
    read = _write(tmp_path, {"rules": [{"pattern": ".*", "layers": [3, "5-7"], "config": None}]})
    assert read.rules[0].layers == frozenset({3, 5, 6, 7})


_CONFIG = {"bits": 4, "group": 32, "symmetric": True, "method": "min_max"}


def _rule(**changes: Any) -> dict[str, Any]:
    return {"rules": [{"pattern": ".*", "config": None, **changes}]}


def _with(**changes: Any) -> dict[str, Any]:
    return _rule(config={**_CONFIG, **changes})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "the recipe must be an object"),
        ({"rules": []}, "has 0 entries"),
        ({"rules": [{"pattern": ".*"}]}, "rule 0 has no 'config'"),
        (_rule(pattern="("), r"rule 0: pattern '\(' is no regular expression"),
        (_rule(x=1), "rule 0 has unknown keys: 'x'"),
        (_with(x=1), "'config' of rule 0 has unknown keys: 'x'"),
        (_with(bits=3), "rule 0: 3 bits are not supported"),
        (_with(group=48), "group 48 is no multiple of 32"),
        (_with(method="magic"), "method 'magic' is unknown"),
        (_with(method="hqq"), "method 'hqq' is asymmetric"),
        (_with(method="hqq_scale", symmetric=False), "is symmetric"),
        (_with(method="lattice", bits=8), "symmetric scales of 4 bits, not 8 bits"),
        (_with(method="lattice", symmetric=False), "of 4 bits, not 4 bits with an offset"),
        (_with(bits=8, symmetric=False), "rule 0: asymmetric with 8 bits has no layout"),
        (_rule(layers=["a"]), "neither a layer nor a range"),
        (_rule(layers=[True]), "neither a layer nor a range"),
    ],
)
def test_bad_files(tmp_path: Path, value: Any, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        _write(tmp_path, value)


def test_groups_must_divide() -> None:
    config = QuantConfig(bits=4, group=128, symmetric=True, method="min_max")
    assert config.group_of("w", 256) == 128
    assert (
        QuantConfig(bits=4, group=None, symmetric=True, method="min_max").group_of("w", 640) == 640
    )
    with pytest.raises(
        UserError,
        match=r"layers.3.mlp.up_proj.weight: group 128 does not divide 672 \(use 32 or 'row'\)",
    ):
        config.group_of("layers.3.mlp.up_proj.weight", 672)
