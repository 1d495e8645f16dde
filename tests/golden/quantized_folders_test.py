"""Folders that the compressed-tensors library wrote, exported and scored.

The judge is transformers on the weights that the library dequantizes, in float32.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.quantization import QuantizationScheme

from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.testing.compressed_folders import (
    dequantized,
    integers,
    preset,
    write_folder,
)
from python.console.progress import Progress
from python.export import export
from python.quant.recipe import recipe
from tests.golden import oracle
from tests.golden.tiny_models_test import largest_error, prompt, score

_TOLERANCE = 1e-3  # nats
_CASES: dict[str, tuple[Any, dict[str, QuantizationScheme]]] = {
    "gemma4 w4a16 by 32": (oracle.tiny_gemma4, {"g": integers(4, 32)}),
    "gemma4 w4a16 by 64 with zero points, and w8a8": (
        oracle.tiny_gemma4,
        {"g": integers(4, 64, symmetric=False), "h": preset("W8A8", "re:.*mlp.down_proj")},
    ),
    "gemma4 nvfp4": (oracle.tiny_gemma4, {"g": preset("NVFP4A16")}),
    "gemma3 w4a16 by 32": (oracle.tiny_gemma3, {"g": integers(4, 32)}),
}


def _export(folder: Path, output: Path, name: str) -> Path:
    with open_checkpoint(folder) as checkpoint:
        config = export.read_config(checkpoint)
        export.export_artifact(
            checkpoint,
            config,
            recipe(name, config.num_layers, folder),
            export.Options(max_seq_len=128, max_prefill_chunk=70, kv_cache_dtype="float32"),
            output,
            progress=functools.partial(Progress, mode="none"),
        )
    return output


@pytest.mark.parametrize("name", _CASES)
def test_scores_equal_transformers_on_the_dequantized_weights(tmp_path: Path, name: str) -> None:
    make, schemes = _CASES[name]
    original = make(layers=2, window=16, seed=0).to(torch.bfloat16)
    # A float32 model of its own: rotary frequencies are buffers, which a detour over bfloat16 would round.
    judge = make(layers=2, window=16, seed=0)
    judge.load_state_dict(original.state_dict())
    write_folder(tmp_path / "checkpoint", original, copy.deepcopy(schemes))
    weights = dict(dequantized(tmp_path / "checkpoint", torch.float32))
    assert not judge.load_state_dict(weights, strict=False).unexpected_keys
    tokens = prompt(0)
    expected = oracle.log_probabilities(judge, tokens)
    artifact = _export(tmp_path / "checkpoint", tmp_path / "artifact", "none")
    for chunk in (1, 17, 70):
        worst = largest_error(score(artifact, tokens, chunk), tokens, expected)
        share = worst / _TOLERANCE
        print(f"{name}, chunk {chunk}: error {worst:.2e} nats, {share:.1%} of the tolerance")
        assert worst <= _TOLERANCE


def test_a_recipe_is_for_what_is_not_quantized_yet(tmp_path: Path) -> None:
    """The embedding becomes INT8 in groups of 32 under `default` and stays bfloat16 under `none`."""
    model = oracle.tiny_gemma4(layers=2, window=16, seed=0).to(torch.bfloat16)
    write_folder(tmp_path, model, {"g": integers(4, 32)})
    layouts = {}
    with open_checkpoint(tmp_path) as checkpoint:
        config = export.read_config(checkpoint)
        options = export.Options(max_seq_len=64, max_prefill_chunk=8, kv_cache_dtype="float32")
        for name in ("none", "default"):
            chosen = recipe(name, config.num_layers, tmp_path)
            shapes = export.prepare_export(
                checkpoint, config, chosen, options,
                progress=functools.partial(Progress, mode="none"),
            ).shapes  # fmt: skip
            layouts[name] = {
                weight: (shape.layout.name, shape.group)
                for weight, shape in shapes.items()
                if weight.endswith(("proj.weight", "embed_tokens.weight"))
            }
    assert layouts["none"].pop("embed_tokens.weight") == ("BF16", 0)
    assert layouts["default"].pop("embed_tokens.weight") == ("INT8", 32)
    assert layouts["none"] == layouts["default"]
    assert set(layouts["none"].values()) == {("INT4", 32)}
