"""The functions of ExecuTorch's example under the names that it has for them (docs/migration.md).

Thin: each is one call of what the rest of the repository uses. `QuantConfig.group_size` and
`QuantRecipe.get_config` are members of our own classes.
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.quantized import QuantizedTensor
from python.checkpoint.tensor import DenseTensor
from python.inference.load_model import load_model
from python.model.gemma_config import GemmaConfig
from python.model.transformer import GemmaModel
from python.quant import quantize
from python.quant.recipe import QuantRecipe

_MAX_CHUNK = 1024


def quantize_model(
    model: GemmaModel, recipe: QuantRecipe
) -> Mapping[str, torch.Tensor | QuantizedTensor]:
    """Canonical name -> every weight of the model as the recipe wants it; the model stays as it is.

    All of it is in memory at once; `//python/quant` writes a folder one weight at a time. Raises
    UserError where a method needs a calibration text, or no rule matches a weight.
    """
    quantized: dict[str, torch.Tensor | QuantizedTensor] = {}
    for name, weight in model.state_dict().items():
        stored = quantize.prepare(name, DenseTensor(values=weight.detach().cpu()), recipe)
        if isinstance(stored, QuantizedTensor):
            quantized[name] = stored
        else:
            quantized[name] = weight
    return quantized


def load_gguf_model(
    path: str | Path,
    max_seq_len: int = 4096,
    dtype: torch.dtype = torch.bfloat16,
    device: str | torch.device = "cpu",
) -> tuple[GemmaModel, GemmaConfig]:
    """The eager model of a GGUF file (or of any other checkpoint) and its configuration.

    Raises FormatError for a file that is damaged or of another architecture.
    """
    with open_checkpoint(Path(path)) as checkpoint:
        length = min(max_seq_len, checkpoint.config.max_positions)
        model = load_model(
            checkpoint, max_context=length, max_chunk=min(_MAX_CHUNK, length), dtype=dtype,
            device=torch.device(device),
        )  # fmt: skip
        return model, checkpoint.config
