"""The unquantized model that quantizations are judged by: a float32 checkpoint folder.

The only real weights at hand may have been quantized before. Quantizing such weights again by the same
method changes almost nothing, which says nothing about the method; so the reference can be
*dithered*: every weight of a quantized matrix moves by a uniform random number of at most half a
step of its own block, and lies on no grid any more.
"""

import json
from pathlib import Path

import numpy as np
import torch

from python.artifact import atomic_write
from python.checkpoint import gguf_blocks, safetensors_writer
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.config_hf_json import config_json
from python.checkpoint.safetensors_writer import TensorHeader
from python.checkpoint.stored_names import hf_from_canonical
from python.checkpoint.tensor import BlockTensor, StoredTensor
from python.model.weight_names import is_norm
from python.quant.dequantize import dequantize

_SLAB_VALUES = 1 << 22


def write_reference(checkpoint: Checkpoint, folder: Path, dither_seed: int | None) -> None:
    """Writes `checkpoint`, dequantized to float32, as a Hugging Face folder.

    dither_seed: None keeps every weight. The same seed gives the same bytes.
    """
    config = checkpoint.config
    headers = {
        hf_from_canonical(name): TensorHeader(
            dtype=torch.float32, shape=checkpoint.describe(name).shape
        )
        for name in checkpoint.names()
    }
    with atomic_write.atomic_folder(folder, marker="config.json") as partial:
        values = config_json(config, torch.float32)
        (partial / "config.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
        with open(partial / "model.safetensors", "wb") as file:
            file.write(safetensors_writer.header_bytes(headers, {"format": "pt"}))
            for name in checkpoint.names():
                weight = _weight(name, checkpoint.read(name), dither_seed)
                if is_norm(name) and config.norm_offset:
                    weight = weight - 1.0  # the folder stores w where the factor is 1 + w
                stored = hf_from_canonical(name)
                safetensors_writer.write_tensor(file, stored, weight, headers[stored])


def _weight(name: str, tensor: StoredTensor, dither_seed: int | None) -> torch.Tensor:
    values = dequantize(name, tensor).to(torch.float32)
    if dither_seed is None or not isinstance(tensor, BlockTensor):
        return values
    random = np.random.default_rng([dither_seed, *name.encode()])
    step_rows = max(1, _SLAB_VALUES // tensor.columns)
    for start in range(0, tensor.rows, step_rows):
        rows = slice(start, start + step_rows)
        blocks = tensor.blocks[rows].reshape(-1, tensor.type.bytes)
        scale = gguf_blocks.decode(tensor.type, blocks).scale  # [blocks, scales a block]
        slab = values[rows].numpy()
        noise = random.random(slab.shape, dtype=np.float32) - np.float32(0.5)
        noise = noise.reshape(*scale.shape, -1)
        noise *= scale[:, :, None]
        slab += noise.reshape(slab.shape)
    return values
