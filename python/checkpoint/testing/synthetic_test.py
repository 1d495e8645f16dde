"""Tests of synthetic and safetensors_writer against our reader and against the library's."""

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch

from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import DenseTensor
from python.checkpoint.testing import synthetic
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import NOT_SHAPE, tiny_gemma3, tiny_gemma4
from python.model.weight_names import expected_weights


def _same_shape(a: GemmaConfig, b: GemmaConfig) -> bool:
    return a == dataclasses.replace(b, **{key: getattr(a, key) for key in NOT_SHAPE})


@pytest.mark.parametrize(
    "config", [tiny_gemma4(num_layers=2), tiny_gemma3(num_layers=2)], ids=lambda c: c.name
)
@pytest.mark.parametrize("shard_bytes", [1, 400_000, 10**9])
def test_it_is_a_checkpoint(tmp_path: Path, config: GemmaConfig, shard_bytes: int) -> None:
    synthetic.write_checkpoint(tmp_path / "s", config, shard_bytes=shard_bytes)
    with open_checkpoint(tmp_path / "s") as checkpoint:
        assert _same_shape(checkpoint.config, config)
        assert checkpoint.names() == tuple(expected_weights(config))
        norm = checkpoint.read("norm.weight")
        assert isinstance(norm, DenseTensor)
        assert norm.values.float().mean() == pytest.approx(1.0, abs=0.05)
        up = checkpoint.read("layers.1.mlp.up_proj.weight")
        assert isinstance(up, DenseTensor)
        assert float(up.values.float().std()) == pytest.approx(0.02, rel=0.05)


def test_the_library_reads_the_same(tmp_path: Path) -> None:
    synthetic.write_checkpoint(tmp_path / "s", tiny_gemma4(num_layers=1))
    theirs = safetensors.torch.load_file(tmp_path / "s" / "model-00001-of-00001.safetensors")
    with open_checkpoint(tmp_path / "s") as checkpoint:
        assert {name.removeprefix("model.") for name in theirs} == set(checkpoint.names())
        for name, tensor in theirs.items():
            ours = checkpoint.read(name.removeprefix("model."))
            assert isinstance(ours, DenseTensor)
            expected = tensor.float() if "norm" in name else tensor
            assert torch.equal(ours.values, expected)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthetic.write_checkpoint(tmp_path / name, tiny_gemma3(num_layers=1), seed=seed)
    files = [(tmp_path / name / "model-00001-of-00001.safetensors").read_bytes() for name in "abc"]
    assert files[0] == files[1]
    assert files[0] != files[2]
