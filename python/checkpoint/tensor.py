"""What a checkpoint stores: descriptions of tensors, and their values in the form that the file has.

A value is one of these kinds; python/quant and python/pack know what to do with each:
- `DenseTensor`: plain numbers, a torch tensor.
- `BlockTensor`: GGUF's quantized blocks, byte for byte.
- `TorchaoTensor`: the parts of a torchao tensor subclass, as a quantized safetensors folder has them.
- `Fp4Tensor`: an NVFP4 matrix, as compressed-tensors and ModelOpt store it.
- `IntegerTensor`, `Float8Tensor`: integers and small floating-point numbers under
scales, unpacked from what other quantizers write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.levels import E2M1_LEVELS, FP4_GROUP

Zero = Literal["none", "integer", "fraction"]


@dataclass(frozen=True, kw_only=True)
class IntegerForm:
    """How the integers of a matrix are scaled: `group` columns share a scale and a zero point.

    zero: there is none (it is 0), it is an integer of the same bits, or any number.
    """

    bits: int
    group: int
    zero: Zero

    def __str__(self) -> str:
        zero = {
            "none": "",
            "integer": " with zero points",
            "fraction": " with fractional zero points",
        }
        return f"int{self.bits} by {self.group}{zero[self.zero]}"


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """A tensor of a checkpoint before it is read.

    `encoding` is F32, F16, BF16 or another plain type, a GGML type such as Q4_K, a torchao class,
    F8_E4M3, or a form of integers. `shape` is the logical shape, rows before columns.
    `bytes` is what it takes in the file.
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


@dataclass(frozen=True, kw_only=True)
class IntegerTensor:
    """w[r, c] = scale[r, c // group] * (q[r, c] - zero[r, c // group]), a matrix [rows, columns].

    q: int8 [rows, columns], -2^(bits-1) to 2^(bits-1) - 1. scale: float16, bfloat16 or float32
    [rows, columns / group]. zero: like scale in shape, int16 or a floating-point type; None: 0.
    """

    form: IntegerForm
    q: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor | None


@dataclass(frozen=True, kw_only=True)
class Float8Tensor:
    """w[r, c] = scale[r // block rows, c // block columns] * values[r, c].

    values: float8_e4m3fn [rows, columns]. scale: float32 [block rows, block columns], where the
    last blocks may be cut off by the matrix's end.
    """

    values: torch.Tensor
    scale: torch.Tensor
    block: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Fp4Tensor:
    """An NVFP4 matrix [rows, columns], of which 16 columns share a scale.

        w[r, c] = (global_scale[r] * scale[r, c // 16]) * E2M1[code[r, c]]

    Each product is rounded to float32.

    pairs: uint8 [rows, columns / 2], codes of E2M1 numbers, the even column in the low half: the
    `weight_packed` of compressed-tensors, the `weight` of ModelOpt. scale: float8_e4m3fn [rows,
    columns / 16]. global_scale: float32 [rows], what multiplies: ModelOpt's `weight_scale_2`, the
    reciprocal of compressed-tensors' `weight_global_scale`.

    Raises ValueError where shapes or types disagree; a reader checks untrusted parts before.
    """

    pairs: torch.Tensor
    scale: torch.Tensor
    global_scale: torch.Tensor

    def __post_init__(self) -> None:
        shapes = (tuple(self.scale.shape), tuple(self.global_scale.shape))
        if shapes != ((self.rows, self.columns // FP4_GROUP), (self.rows,)):
            raise ValueError(f"pairs {tuple(self.pairs.shape)} with scales {shapes}")
        dtypes = (self.pairs.dtype, self.scale.dtype, self.global_scale.dtype)
        if dtypes != (torch.uint8, torch.float8_e4m3fn, torch.float32):
            raise ValueError(f"pairs, scale and global_scale are {dtypes}")

    @property
    def rows(self) -> int:
        return self.pairs.shape[0]

    @property
    def columns(self) -> int:
        return 2 * self.pairs.shape[1]

    def dequantize(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Rows start to stop as float32 [rows, columns]."""
        rows = slice(start, stop)
        pairs = self.pairs[rows]
        codes = torch.stack([pairs & 15, pairs >> 4], dim=-1).reshape(pairs.shape[0], -1)
        values = torch.tensor(E2M1_LEVELS, dtype=torch.float32) / 2
        scale = self.global_scale[rows, None] * self.scale[rows].to(torch.float32)
        w = values[codes.to(torch.int32)].reshape(*scale.shape, FP4_GROUP) * scale[..., None]
        return w.reshape(codes.shape)


StoredTensor = DenseTensor | BlockTensor | TorchaoTensor | Fp4Tensor | IntegerTensor | Float8Tensor
