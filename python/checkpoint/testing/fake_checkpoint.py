"""A checkpoint in memory, for tests of everything that consumes one."""

from collections.abc import Mapping
from pathlib import Path

import torch

from python.checkpoint.checkpoint import Checkpoint, TokenizerSource
from python.checkpoint.completeness import check_complete
from python.checkpoint.generation import GenerationConfig
from python.checkpoint.tensor import BlockTensor, DenseTensor, StoredTensor, TensorInfo
from python.model.gemma_config import GemmaConfig

_ENCODINGS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


class FakeCheckpoint(Checkpoint):
    """`tensors` maps canonical names to tensors: all weights of `config`, and no others."""

    def __init__(
        self,
        config: GemmaConfig,
        tensors: Mapping[str, DenseTensor | BlockTensor],
        *,
        tokenizer: TokenizerSource | None = None,
        generation: GenerationConfig | None = None,
    ) -> None:
        self.path = Path("fake")
        self.config = config
        self.tokenizer = tokenizer
        self.generation = generation or GenerationConfig(stop_ids=config.stop_ids)
        self._tensors = dict(tensors)
        check_complete(self.path, config, {name: self.describe(name) for name in tensors})

    def describe(self, name: str) -> TensorInfo:
        tensor = self._tensors[name]
        if isinstance(tensor, BlockTensor):
            return TensorInfo(
                name=name,
                encoding=tensor.type.name,
                shape=(tensor.rows, tensor.columns),
                bytes=tensor.blocks.nbytes,
            )
        values = tensor.values
        return TensorInfo(
            name=name,
            encoding=_ENCODINGS[values.dtype],
            shape=tuple(values.shape),
            bytes=values.nbytes,
        )

    def read(self, name: str) -> StoredTensor:
        return self._tensors[name]

    def close(self) -> None:
        pass
