"""A checkpoint of any kind as an eager model with plain weights.

Invariant: one stored weight at a time is in memory beside the model's own; quantized weights enter
with exactly the values that they store, rounded once to the model's type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.tensor import TensorInfo
from python.model.load import load_weights
from python.model.transformer import GemmaModel
from python.quant.dequantize import dequantize

Dtype = torch.dtype
_STORED: dict[str, Dtype] = {"BF16": torch.bfloat16, "F16": torch.bfloat16, "F32": torch.float32}


def default_dtype(checkpoint: Checkpoint, device: torch.device) -> Dtype:
    """bfloat16 for what is stored in 16 bits and for all on CUDA; else float32."""
    if device.type == "cuda":
        return torch.bfloat16
    return _STORED.get(checkpoint.describe("embed_tokens.weight").encoding, torch.float32)


def load_model(
    checkpoint: Checkpoint,
    *,
    max_context: int,
    max_chunk: int,
    dtype: Dtype,
    device: torch.device,
    on_weight: Callable[[TensorInfo], None] = lambda info: None,
) -> GemmaModel:
    """The checkpoint's model; `on_weight` is called after each weight.

    Raises ConfigError for limits that the model does not have, FormatError for damaged weights.
    """
    model = GemmaModel(
        checkpoint.config,
        max_context=max_context,
        max_chunk=max_chunk,
        dtype=dtype,
        device=device,
        weights_device="meta",
    )
    load_weights(model, _weights(checkpoint, on_weight))
    return model


def _weights(
    checkpoint: Checkpoint, on_weight: Callable[[TensorInfo], None]
) -> Iterator[tuple[str, torch.Tensor]]:
    for name in checkpoint.names():
        yield name, dequantize(name, checkpoint.read(name))
        on_weight(checkpoint.describe(name))
