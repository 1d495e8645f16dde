"""What a checkpoint stores: descriptions of tensors, and their values in the form that the file has.

A value is one of three kinds; python/quant knows what to do with each:
- `DenseTensor`: plain numbers, a torch tensor.
- `BlockTensor`: GGUF's quantized blocks, byte for byte.
- `TorchaoTensor`: the parts of a torchao tensor subclass, as a quantized safetensors folder has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from python.checkpoint.ggml_types import GgmlType


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """A tensor of a checkpoint before it is read.

    `encoding` is F32, F16, BF16 or another plain type, a GGML type such as Q4_K, or a torchao
    class. `shape` is the logical shape, rows before columns. `bytes` is what it takes in the file.
    """

    name: str
    encoding: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        product = 1
        for size in self.shape:
            product *= size
        return product


@dataclass(frozen=True, kw_only=True)
class DenseTensor:
    """Plain numbers of any shape."""

    values: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class BlockTensor:
    """A matrix [rows, columns] in GGML blocks; `blocks`: uint8 [rows, bytes of a row]."""

    type: GgmlType
    columns: int
    blocks: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.blocks.shape[0])


@dataclass(frozen=True, kw_only=True)
class TorchaoTensor:
    """A torchao subclass taken apart: class, tensors (`qdata`, `scale`, ...) and other attributes."""

    class_name: str
    parts: Mapping[str, torch.Tensor]
    attributes: Mapping[str, Any]


StoredTensor = DenseTensor | BlockTensor | TorchaoTensor
