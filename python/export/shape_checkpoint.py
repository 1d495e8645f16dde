"""A checkpoint without weights: a model's names and shapes, for exporting plans alone."""

from __future__ import annotations

import math
from pathlib import Path

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.generation import GenerationConfig
from python.checkpoint.tensor import StoredTensor, TensorInfo
from python.console.errors import UserError
from python.model.gemma_config import GemmaConfig
from python.model.weight_names import expected_weights

_BYTES = 2  # bfloat16, as checkpoints are published


class ShapeCheckpoint(Checkpoint):
    """Says of every weight of `config` that it is bfloat16, and has none of them."""

    def __init__(self, config: GemmaConfig) -> None:
        self.path = Path(config.name)
        self.config = config
        self.tokenizer = None
        self.generation = GenerationConfig(stop_ids=config.stop_ids)
        self._shapes = expected_weights(config)

    def describe(self, name: str) -> TensorInfo:
        shape = tuple(self._shapes[name])
        return TensorInfo(name=name, encoding="BF16", shape=shape, bytes=_BYTES * math.prod(shape))

    def read(self, name: str) -> StoredTensor:
        raise UserError(f"{name}: the shape of {self.config.name} has no weights")

    def close(self) -> None:
        pass
