"""A checkpoint in memory, for tests of everything that consumes one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from python.checkpoint import names
from python.checkpoint.checkpoint import Checkpoint, ConfigSource, TokenizerSource
from python.checkpoint.generation import GenerationConfig
from python.checkpoint.tensor import BlockTensor, DenseTensor, StoredTensor, TensorInfo

_ENCODINGS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


class FakeCheckpoint(Checkpoint):
    """`tensors` maps canonical names to tensors; `config` is a parsed config.json."""

    def __init__(
        self,
        tensors: Mapping[str, DenseTensor | BlockTensor],
        *,
        config: Mapping[str, Any] | None = None,
        tokenizer: TokenizerSource | None = None,
        generation: GenerationConfig | None = None,
    ) -> None:
        self.path = Path("fake")
        self.config = ConfigSource(
            kind="hugging_face", values=config or {}, tensor_names=frozenset(tensors)
        )
        self.tokenizer = tokenizer
        self.generation = generation or GenerationConfig(stop_ids=(1,))
        self._tensors = dict(tensors)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._tensors, key=names.order))

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
