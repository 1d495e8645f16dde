"""Synthetic checkpoints: a Hugging Face folder with real names and shapes, and random weights.

Tests use small ones; a full-width one with few layers measures memory and speed where the real one
cannot be had.

    bazel run //python/checkpoint/testing:make_synthetic -- --model gemma4_31b --layers 6 --output DIR
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from python.artifact import atomic_write
from python.checkpoint import safetensors_writer
from python.checkpoint.config_hf_json import config_json, generation_json
from python.checkpoint.generation import GenerationConfig
from python.checkpoint.safetensors_reader import INDEX_NAME
from python.checkpoint.safetensors_writer import TensorHeader
from python.checkpoint.stored_names import hf_from_canonical
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import layer_pattern
from python.model.weight_names import expected_weights, is_norm

_SLAB_VALUES = 1 << 22
_DEVIATION = 0.02


def write_checkpoint(
    folder: Path,
    config: GemmaConfig,
    *,
    seed: int = 0,
    shard_bytes: int = 5_000_000_000,
    dtype: torch.dtype = torch.bfloat16,
    prefix: str = "model.",
    overwrite: bool = False,
) -> None:
    """Writes config.json, generation_config.json and the shards with their index.

    Weights are normal with a deviation of 0.02, norms and layer scalars near their neutral value;
    the same seed gives the same bytes. One slab of a weight is in memory at a time.
    """
    with atomic_write.atomic_folder(folder, marker="config.json", overwrite=overwrite) as partial:
        _write_json(partial / "config.json", config_json(config, dtype))
        _write_json(partial / "generation_config.json", _generation(config))
        headers = {
            hf_from_canonical(name, prefix): TensorHeader(dtype=dtype, shape=shape)
            for name, shape in expected_weights(config).items()
        }
        shards = _shards(headers, shard_bytes)
        for number, names in enumerate(shards):
            path = partial / _shard_name(number, len(shards))
            _write_shard(path, {name: headers[name] for name in names}, config, seed)
        index = {
            "metadata": {"total_size": sum(tensor.bytes for tensor in headers.values())},
            "weight_map": {
                name: _shard_name(number, len(shards))
                for number, names in enumerate(shards)
                for name in names
            },
        }
        _write_json(partial / INDEX_NAME, index)


def scaled(
    config: GemmaConfig, *, layers: int, width_divisor: int = 1, vocab_size: int | None = None
) -> GemmaConfig:
    """The same shape with fewer layers (of the usual pattern), narrower, or with fewer tokens."""
    return dataclasses.replace(
        config,
        num_layers=layers,
        layer_kinds=layer_pattern(layers, 6),
        hidden_size=config.hidden_size // width_divisor,
        intermediate_size=config.intermediate_size // width_divisor,
        vocab_size=vocab_size or config.vocab_size,
    )


def _shards(headers: dict[str, TensorHeader], shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = []
    size = shard_bytes
    for name, tensor in headers.items():
        if size + tensor.bytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.bytes
    return shards


def _shard_name(number: int, count: int) -> str:
    return f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _write_shard(
    path: Path, tensors: dict[str, TensorHeader], config: GemmaConfig, seed: int
) -> None:
    with open(path, "wb") as file:
        file.write(safetensors_writer.header_bytes(tensors, {"format": "pt"}))
        for name, tensor in tensors.items():
            for slab in _values(name, tensor, config, seed):
                file.write(slab.view(torch.uint8).numpy().data)


def _values(
    name: str, tensor: TensorHeader, config: GemmaConfig, seed: int
) -> Iterator[torch.Tensor]:
    """Flat slabs of a weight's values, in the order of the file."""
    random = np.random.default_rng([seed, *name.encode()])
    neutral = 0.0 if config.norm_offset else 1.0
    mean, deviation = (
        (neutral, 0.1) if is_norm(name) or name.endswith("layer_scalar") else (0.0, _DEVIATION)
    )
    left = tensor.bytes // tensor.dtype.itemsize
    while left:
        count = min(left, _SLAB_VALUES)
        values = random.standard_normal(count, dtype=np.float32) * np.float32(
            deviation
        ) + np.float32(mean)
        yield torch.from_numpy(values).to(tensor.dtype)
        left -= count


def _generation(config: GemmaConfig) -> dict[str, Any]:
    wanted = GenerationConfig(
        stop_ids=config.stop_ids, temperature=1.0, top_k=64, top_p=0.95
    )  # fmt: skip
    return generation_json(wanted)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
