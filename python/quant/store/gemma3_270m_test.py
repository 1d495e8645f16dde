"""The store of a real checkpoint, as transformers loads it: Gemma 3 270M, made plain again."""

import json
import os
from pathlib import Path

import safetensors.torch
import torch

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.config_hf_json import config_json
from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.stored_names import hf_from_canonical
from python.model.weight_names import is_norm
from python.quant import recipe
from python.quant.dequantize import dequantize
from python.quant.store import store
from python.quant.store.testing.transformers_model import check_weights, loaded_model


def _write_plain(checkpoint: Checkpoint, folder: Path) -> None:
    """A bfloat16 folder of the GGUF's values; norms as Gemma 3's folders have them, w for 1 + w."""
    folder.mkdir()
    tensors = {}
    for name in checkpoint.names():
        values = dequantize(name, checkpoint.read(name))
        stored = values - 1 if is_norm(name) else values
        tensors[hf_from_canonical(name)] = stored.to(torch.bfloat16)
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_json(checkpoint.config, torch.bfloat16)))


def test_transformers_has_our_weights(tmp_path: Path) -> None:
    with open_checkpoint(Path(os.environ["MODEL"])) as checkpoint:
        _write_plain(checkpoint, tmp_path / "hf")
    with open_checkpoint(tmp_path / "hf") as plain:
        assert isinstance(plain, HuggingFaceCheckpoint)
        rules = recipe.recipe_for("default", plain.config)
        settings = store.Settings(progress="none", shard_bytes=100_000_000)
        store.quantize_checkpoint(plain, rules, tmp_path / "q", settings)
    (tmp_path / "hf" / "model.safetensors").unlink()
    model = loaded_model(tmp_path / "q")
    check_weights(model, tmp_path / "q", {"Int4Tensor", "IntxUnpackedToInt8Tensor", "Tensor"})
