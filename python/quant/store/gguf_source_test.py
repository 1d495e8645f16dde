"""A GGUF in plain numbers is a checkpoint to quantize like any other."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from python.checkpoint import ggml_types
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.testing import tiny_gguf
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.pack import pack
from python.quant import quantize, recipe
from python.quant.store import store
from python.quant.store.testing.transformers_model import check_weights, loaded_model

_SIZES = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 32}
_CONFIGS = {
    "gemma3": tiny_gemma3(num_layers=2, **_SIZES),
    "gemma4": tiny_gemma4(num_layers=3, full_head_dim=64, **_SIZES),
}


def _encode(kind: GgmlType) -> tiny_gguf.Encode:
    """Matrices as `kind`, vectors as float32, as llama.cpp's converter writes them."""

    def encode(name: str, shape: tuple[int, ...]) -> tuple[GgmlType, np.ndarray]:
        _, values = tiny_gguf.random_f32(name, shape)
        if len(shape) == 1 or kind is ggml_types.F32:
            return ggml_types.F32, values
        dtype = torch.float16 if kind is ggml_types.F16 else torch.bfloat16
        stored = torch.from_numpy(values).to(dtype).view(torch.int16)
        return kind, stored.numpy()

    return encode


def _store(folder: Path, config: GemmaConfig, kind: GgmlType) -> tuple[Path, Path]:
    source, output = folder / "m.gguf", folder / "q"
    source.write_bytes(tiny_gguf.build(config, _encode(kind)))
    with open_checkpoint(source) as checkpoint:
        rules = recipe.recipe_for("default", checkpoint.config)
        settings = store.Settings(progress="none", shard_bytes=60_000)
        store.quantize_checkpoint(checkpoint, rules, output, settings)
    return source, output


@pytest.mark.parametrize("family", list(_CONFIGS))
@pytest.mark.parametrize("kind", [ggml_types.F32, ggml_types.F16, ggml_types.BF16])
def test_the_store_is_what_exporting_the_file_would_give(
    tmp_path: Path, family: str, kind: GgmlType
) -> None:
    source, output = _store(tmp_path, _CONFIGS[family], kind)
    rules = recipe.recipe_for("default", _CONFIGS[family])
    with open_checkpoint(source) as original, open_checkpoint(output) as stored:
        for name in original.names():
            expected = pack.pack(name, quantize.prepare(name, original.read(name), rules))
            found = pack.pack(name, stored.read(name))
            assert found.shape == expected.shape
            assert found.data.tobytes() == expected.data.tobytes(), name
        assert original.tokenizer is not None and stored.tokenizer == original.tokenizer
        assert dataclasses.replace(original.generation, notes=()) == stored.generation
        # A folder rounds the embedding's scale to its own type, as transformers does.
        assert stored.config == dataclasses.replace(
            original.config, embed_scale_dtype=stored.config.embed_scale_dtype
        )
    check_weights(
        loaded_model(output), output, {"Int4Tensor", "IntxUnpackedToInt8Tensor", "Tensor"}
    )


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    folders = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _, output = _store(tmp_path / name, _CONFIGS["gemma4"], ggml_types.BF16)
        folders.append({path.name: path.read_bytes() for path in sorted(output.iterdir())})
    assert folders[0] == folders[1]
    assert "tokenizer.gguf" in folders[0] and "generation_config.json" in folders[0]
