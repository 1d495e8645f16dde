"""Int4Tensors of ExecuTorch, and how they are told from torchao's.

Both write the same class with the same parts, in different conventions:
- torchao: w = q * scale + zero_point, with q from -8 to 7 and the zero point in units of the weight;
- ExecuTorch (extension/llm/export/quant): w = (q - zero_point) * scale, with q from 0 to 15 and the
  zero point in steps of q.
Read in the wrong one, a matrix is garbage of the right shape. What must stay true: where neither the
folder nor the numbers say which it is, it is refused.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from python.artifact import strict_json
from python.checkpoint import packed_integers
from python.checkpoint.integer_sources import FLOATS
from python.checkpoint.safetensors_reader import SafetensorsFolder
from python.checkpoint.tensor import IntegerForm, IntegerTensor, TensorInfo, Zero
from python.checkpoint.torchao_source import TorchaoSource
from python.checkpoint.weight_source import WeightSource
from python.console.errors import FormatError

_STATEMENT = "quantization.json"
_MAX_STATEMENT_BYTES = 1 << 20
_SAMPLES = 3  # tensors, the smallest ones, whose numbers decide
# torchao's zero point is that of q = 0, which lies at most half of the levels from 0.
_MOST_STEPS = 8.5
_EXECUTORCH_ZEROS = (-16.0, 31.0)


class Convention(enum.Enum):
    """What the numbers of an Int4Tensor mean."""

    TORCHAO = "torchao"
    EXECUTORCH = "ExecuTorch"


def with_conventions(
    sources: Mapping[str, TorchaoSource], config: Mapping[str, Any], folder: Path
) -> dict[str, WeightSource]:
    """The torchao tensors of a folder, its Int4Tensors as what they are. Raises FormatError."""
    int4 = {name: it for name, it in sources.items() if it.class_name == "Int4Tensor"}
    if not int4 or _convention(int4, config, folder) is Convention.TORCHAO:
        return dict(sources)
    return {
        name: ExecutorchInt4Source(source.files, name, source) if name in int4 else source
        for name, source in sources.items()
    }


def _convention(
    sources: Mapping[str, TorchaoSource], config: Mapping[str, Any], folder: Path
) -> Convention:
    if _is_stated(config, folder):
        return Convention.TORCHAO
    smallest = sorted(sources.values(), key=lambda source: source.bytes)[:_SAMPLES]
    found = {_of_numbers(source) for source in smallest}
    if len(found) == 1 and (convention := found.pop()) is not None:
        return convention
    raise FormatError(
        folder,
        "holds Int4Tensors whose convention cannot be told: torchao's (q * scale + zero_point) or"
        " ExecuTorch's ((q - zero_point) * scale); a quantization_config of torchao in config.json"
        " says that it is torchao's",
    )


def _is_stated(config: Mapping[str, Any], folder: Path) -> bool:
    """Whether the folder itself says that it follows torchao."""
    quantization = config.get("quantization_config")
    if isinstance(quantization, dict) and quantization.get("quant_method") == "torchao":
        return True
    path = folder / _STATEMENT
    if not path.is_file():
        return False
    value = strict_json.read(path, _MAX_STATEMENT_BYTES)
    return isinstance(value, dict) and str(value.get("convention")).startswith("torchao:")


def _of_numbers(source: TorchaoSource) -> Convention | None:
    """What the zero points can be; None where they can be both or neither."""
    if "zero_point" not in source.parts or source.entry("zero_point").dtype not in FLOATS:
        return None
    scale, zero = source.tensor("scale").float(), source.tensor("zero_point").float()
    if scale.shape != zero.shape or not zero.numel():
        return None
    low, high = _EXECUTORCH_ZEROS
    theirs = bool(((zero >= low) & (zero <= high)).all()) and bool(zero.any())
    torchaos = bool((zero.abs() <= _MOST_STEPS * scale.abs()).all())
    # An integer step, such as 8 for every group, is no coincidence among small scales.
    steps = theirs and bool((zero >= 0).all()) and torch.equal(zero, zero.round())
    if torchaos and not steps:
        return Convention.TORCHAO
    return Convention.EXECUTORCH if theirs and not torchaos else None


class ExecutorchInt4Source(WeightSource):
    """qdata: U8 [rows, columns / 2], the even column low; scale, zero_point: [groups, rows]."""

    def __init__(self, files: SafetensorsFolder, name: str, torchao: TorchaoSource) -> None:
        super().__init__(files, name, torchao.parts)
        shape = self.entry("qdata").shape
        if len(shape) != 2 or 0 in shape:
            raise self.error(f"has a qdata of {list(shape)}, which is no matrix")
        self.rows, self.columns = shape[0], 2 * shape[1]
        self.need("qdata", ("U8", "I8"), shape)
        self._group = torchao.group()
        if self.columns % self._group:
            raise self.error(f"has groups of {self._group}, which do not divide {self.columns}")
        scales = (self.columns // self._group, self.rows)
        self.need("scale", FLOATS, scales)
        self.need("zero_point", FLOATS, scales)

    @functools.cached_property
    def _zero_kind(self) -> Zero:
        """What the zero points are, which they alone tell."""
        zero = self.tensor("zero_point").float()
        low, high = _EXECUTORCH_ZEROS
        if not bool(((zero >= low) & (zero <= high)).all()):
            raise self.error(f"has a zero point that is not within {low:g} and {high:g}")
        if bool((zero == 8).all()):
            return "none"
        whole = torch.equal(zero, zero.round()) and bool(((zero >= 0) & (zero <= 15)).all())
        return "integer" if whole else "fraction"

    def form(self) -> IntegerForm:
        return IntegerForm(bits=4, group=self._group, zero=self._zero_kind)

    def describe(self, name: str) -> TensorInfo:
        shape = (self.rows, self.columns)
        encoding = "Int4Tensor (ExecuTorch)"
        return TensorInfo(name=name, encoding=encoding, shape=shape, bytes=self.bytes)

    def read(self) -> IntegerTensor:
        form, scale = self.form(), self.tensor("scale").t().contiguous()
        if not bool(torch.isfinite(scale).all()):
            raise self.error("has a scale that is not finite")
        words = self.tensor("qdata").view(torch.uint8).contiguous().numpy()
        numbers = torch.from_numpy(packed_integers.unpack(words, self.columns, 4))
        zero = None
        if form.zero != "none":
            zero = self.tensor("zero_point").t().float().contiguous() - 8
            zero = zero.to(torch.int16) if form.zero == "integer" else zero
        return IntegerTensor(form=form, q=numbers.view(torch.int8) - 8, scale=scale, zero=zero)
