"""Matrices of FP8 (E4M3) and NVFP4, as compressed-tensors, ModelOpt and transformers write them.

What must stay true: types and shapes of all parts are checked when a source is made.
"""

from collections.abc import Mapping

import torch

from python.checkpoint.levels import FP4_GROUP
from python.checkpoint.safetensors_reader import SafetensorsFolder
from python.checkpoint.tensor import Float8Tensor, Fp4Tensor, TensorInfo
from python.checkpoint.weight_source import WeightSource

_SCALES = ("F32", "BF16", "F16")
_ONE = ((), (1,), (1, 1))
DEFAULT_BLOCK = (128, 128)


class Float8Source(WeightSource):
    """weight: F8_E4M3 [rows, columns]; scale: one number, one a row, or one a block of the matrix.

    ModelOpt writes the scales of blocks as [block rows, 1, block columns, 1].
    """

    def __init__(
        self,
        files: SafetensorsFolder,
        name: str,
        parts: Mapping[str, str],
        block: tuple[int, int] | None,
    ) -> None:
        """block: rows and columns that share a scale, where the configuration says so."""
        super().__init__(files, name, parts)
        shape = self.entry("weight").shape
        if len(shape) != 2 or 0 in shape:
            raise self.error(f"has a weight of {list(shape)}, which is no matrix")
        self.rows, self.columns = shape
        self.need("weight", ("F8_E4M3",), shape)
        if "scale" not in self.parts:
            raise self.error("has no scale")
        self._block = self._find_block(block)
        height, width = self._block
        self._scales = (-(-self.rows // height), -(-self.columns // width))
        found = self.entry("scale").shape
        height, width = self._scales
        also = (*_ONE, (self.rows,), (height, 1, width, 1))
        self.need("scale", _SCALES, found if found in also else self._scales)

    def _find_block(self, block: tuple[int, int] | None) -> tuple[int, int]:
        found = self.entry("scale").shape
        if found in _ONE:
            return self.rows, self.columns
        if found in ((self.rows,), (self.rows, 1)) and block is None:
            return 1, self.columns
        height, width = block or DEFAULT_BLOCK
        return min(height, self.rows), min(width, self.columns)

    def describe(self, name: str) -> TensorInfo:
        shape = (self.rows, self.columns)
        return TensorInfo(name=name, encoding="F8_E4M3", shape=shape, bytes=self.bytes)

    def read(self) -> Float8Tensor:
        scale = self.tensor("scale").to(torch.float32).reshape(self._scales)
        values = self.tensor("weight")
        # E4M3 has no infinity; its two NaNs are all ones.
        if bool((values.view(torch.uint8) & 0x7F).max() == 0x7F):
            raise self.error("has a weight that is no number")
        if not bool(torch.isfinite(scale).all()):
            raise self.error("has a scale that is not finite")
        return Float8Tensor(values=values, scale=scale, block=self._block)


class Nvfp4Source(WeightSource):
    """pairs: U8 [rows, columns / 2]; scale: F8_E4M3 [rows, columns / 16]; and one number for all.

    That number is `global_scale`, by which compressed-tensors divides, or `factor`, with which
    ModelOpt multiplies.
    """

    def __init__(self, files: SafetensorsFolder, name: str, parts: Mapping[str, str]) -> None:
        super().__init__(files, name, parts)
        shape = self.entry("pairs").shape
        if len(shape) != 2 or 0 in shape:
            raise self.error(f"has a weight of {list(shape)}, which is no matrix")
        self.rows, self.columns = shape[0], 2 * shape[1]
        self.need("pairs", ("U8",), shape)
        if self.columns % FP4_GROUP:
            raise self.error(f"has {self.columns} columns, no multiple of {FP4_GROUP}")
        self.need("scale", ("F8_E4M3",), (self.rows, self.columns // FP4_GROUP))
        self._whole = "factor" if "factor" in self.parts else "global_scale"
        if self._whole not in self.parts:
            raise self.error("has no scale for the whole matrix")
        found = self.entry(self._whole).shape
        self.need(self._whole, ("F32",), found if found in _ONE else (1,))

    def describe(self, name: str) -> TensorInfo:
        shape = (self.rows, self.columns)
        return TensorInfo(name=name, encoding="NVFP4", shape=shape, bytes=self.bytes)

    def read(self) -> Fp4Tensor:
        whole, scale = self.tensor(self._whole).reshape(()), self.tensor("scale")
        if not bool(torch.isfinite(whole)) or bool(whole == 0):
            raise self.error(f"has a scale of {float(whole)} for the whole matrix")
        if bool((scale.view(torch.uint8) & 0x7F).max() == 0x7F):
            raise self.error("has a scale that is no number")
        factor = whole if self._whole == "factor" else torch.reciprocal(whole)
        rows = factor.expand(self.rows).contiguous()
        return Fp4Tensor(pairs=self.tensor("pairs"), scale=scale, global_scale=rows)
