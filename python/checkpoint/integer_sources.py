"""Matrices of integers as other quantizers write them: compressed-tensors, GPTQ and AWQ.

Each source gives an `IntegerTensor` with the very numbers of the file. What must stay true: types
and shapes of all parts are checked when a source is made, numbers when it is read.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping

import torch

from python.checkpoint import packed_integers
from python.checkpoint.safetensors_reader import SafetensorsFolder
from python.checkpoint.tensor import IntegerForm, IntegerTensor, TensorInfo
from python.checkpoint.weight_source import WeightSource

FLOATS = ("BF16", "F16", "F32")
_MAX_COLUMNS = 1 << 24


class IntegerSource(WeightSource, abc.ABC):
    """A matrix [rows, columns] of integers of `bits` bits in groups of `group` columns."""

    def __init__(
        self,
        files: SafetensorsFolder,
        name: str,
        parts: Mapping[str, str],
        *,
        bits: int,
        group: int | None,
        symmetric: bool,
    ) -> None:
        """group None: one scale a row. Raises FormatError."""
        super().__init__(files, name, parts)
        if not 2 <= bits <= 8:
            raise self.error(f"has {bits} bits (2 to 8 are read)")
        self._bits = bits
        self.rows, self.columns = self._sizes()
        self._group = self.columns if group is None else group
        if self.rows < 1 or not 1 <= self.columns <= _MAX_COLUMNS:
            raise self.error(f"is a matrix of {self.rows} x {self.columns}")
        if self._group < 1 or self.columns % self._group:
            raise self.error(f"has groups of {self._group}, which do not divide {self.columns}")
        self._symmetric = symmetric
        self._check_parts()

    @abc.abstractmethod
    def _sizes(self) -> tuple[int, int]:
        """The matrix's rows and columns."""

    @abc.abstractmethod
    def _check_parts(self) -> None:
        """Raises FormatError where a part is missing, or of another type or shape."""

    @abc.abstractmethod
    def _integers(self) -> torch.Tensor:
        """Signed, of int8 [rows, columns]."""

    @abc.abstractmethod
    def _scale(self) -> torch.Tensor:
        """Scales of shape [rows, groups]."""

    @abc.abstractmethod
    def _zero(self) -> torch.Tensor | None:
        """int16 [rows, groups], in the integers' own range; None where all are 0."""

    @property
    def groups(self) -> int:
        return self.columns // self._group

    def form(self) -> IntegerForm:
        zero = "none" if self._symmetric else "integer"
        return IntegerForm(bits=self._bits, group=self._group, zero=zero)  # type: ignore[arg-type]

    def describe(self, name: str) -> TensorInfo:
        shape = (self.rows, self.columns)
        return TensorInfo(name=name, encoding=str(self.form()), shape=shape, bytes=self.bytes)

    def read(self) -> IntegerTensor:
        scale, zero = self._scale(), self._zero()
        if not bool(torch.isfinite(scale).all()):
            raise self.error("has a scale that is not finite")
        if self._symmetric and zero is not None:
            if bool(zero.any()):
                raise self.error("has zero points, though the configuration calls it symmetric")
            zero = None
        self._check_order()
        return IntegerTensor(form=self.form(), q=self._integers(), scale=scale, zero=zero)

    def _check_order(self) -> None:
        """Raises FormatError where columns of one group do not lie side by side."""
        if "g_idx" not in self.parts:
            return
        order = self.tensor("g_idx").to(torch.int64)
        if not torch.equal(order, torch.arange(self.columns) // self._group):
            raise self.error(
                "has its columns reordered by activations (g_idx); read are checkpoints that were "
                "made without act-order, or with it by weight"
            )

    def _signed(self, numbers: object) -> torch.Tensor:
        """uint8 numbers from 0 -> int8 from -2^(bits-1)."""
        values = torch.from_numpy(numbers)
        return (values.view(torch.int8) - (1 << self._bits - 1)).contiguous()


class CompressedIntegers(IntegerSource):
    """compressed-tensors' pack-quantized, int-quantized and naive-quantized.

    packed: int32 [rows, words of a row], or weight: int8 [rows, columns]. scale: [rows, groups], or
    one number for the whole matrix. zero_point: int32 [words, groups], packed along the rows, or
    int8 [rows, groups]. shape: two numbers, beside packed.
    """

    def _sizes(self) -> tuple[int, int]:
        part = "packed" if "packed" in self.parts else "weight"
        entry = self.entry(part)
        if len(entry.shape) != 2:
            raise self.error(f"has a {part} of {list(entry.shape)}, which is no matrix")
        if part == "weight":
            return entry.shape[0], entry.shape[1]
        self._need_shape_part()
        rows, columns = self.tensor("shape").tolist()
        return int(rows), int(columns)

    def _need_shape_part(self) -> None:
        self.need("shape", ("I64", "I32"), (2,))

    def _check_parts(self) -> None:
        if "packed" in self.parts:
            words = packed_integers.words_for(self.columns, self._bits)
            self.need("packed", ("I32",), (self.rows, words))
        else:
            self.need("weight", ("I8",), (self.rows, self.columns))
        self._check_scale()
        if "zero_point" in self.parts:
            if self.entry("zero_point").dtype == "I8":
                self.need("zero_point", ("I8",), self.entry("scale").shape)
            else:
                words = packed_integers.words_for(self.rows, self._bits)
                self.need("zero_point", ("I32", "I8"), (words, self.groups))
        elif not self._symmetric:
            raise self.error("has no zero_point, though the configuration calls it asymmetric")
        if "g_idx" in self.parts:
            self.need("g_idx", ("I32", "I64"), (self.columns,))

    def _check_scale(self) -> None:
        one = ((), (1,), (1, 1))
        if self.groups == 1 and "scale" in self.parts:
            shape = self.entry("scale").shape
            self._one_scale = shape in one and self.rows > 1
            if self._one_scale or shape == (self.rows,):
                self.need("scale", FLOATS, shape)
                return
        self._one_scale = False
        self.need("scale", FLOATS, (self.rows, self.groups))

    def _integers(self) -> torch.Tensor:
        if "weight" in self.parts:
            q = self.tensor("weight")
            low, high = (int(value) for value in torch.aminmax(q))
            if low < -(1 << self._bits - 1) or high >= 1 << self._bits - 1:
                raise self.error(f"holds {low} to {high}, which are not {self._bits} bits")
            return q
        words = self.tensor("packed").numpy()
        return self._signed(packed_integers.unpack(words, self.columns, self._bits))

    def _scale(self) -> torch.Tensor:
        scale = self.tensor("scale").reshape(-1, self.groups)
        return scale.expand(self.rows, 1).contiguous() if self._one_scale else scale

    def _zero(self) -> torch.Tensor | None:
        if "zero_point" not in self.parts:
            return None
        zero = self.tensor("zero_point")
        if zero.dtype == torch.int8:
            zero = zero.reshape(-1, self.groups).expand(self.rows, self.groups)
        else:
            numbers = packed_integers.unpack_columns(zero.numpy(), self.rows, self._bits)
            zero = self._signed(numbers)
        return zero.to(torch.int16)


class ColumnIntegers(IntegerSource):
    """What GPTQ and AWQ have in common: qweight holds the transposed matrix, as do scales and zeros.

    scales: [groups, rows]. qzeros: int32 [groups, words of the rows].
    """

    def _check_parts(self) -> None:
        self.need("scales", FLOATS, (self.groups, self.rows))
        if self.rows * self._bits % 32:
            raise self.error(f"has {self.rows} rows, which do not fill words of 32 bits")
        if "qzeros" in self.parts:
            words = packed_integers.words_for(self.rows, self._bits)
            self.need("qzeros", ("I32",), (self.groups, words))
        elif not self._symmetric:
            raise self.error("has no qzeros, though the configuration calls it asymmetric")
        if "g_idx" in self.parts:
            self.need("g_idx", ("I32", "I64"), (self.columns,))

    def _matrix_part(self) -> tuple[int, int]:
        self.need("qweight", ("I32",), self.entry("qweight").shape)
        if len(self.entry("qweight").shape) != 2:
            raise self.error(f"has a qweight of {list(self.entry('qweight').shape)}")
        first, second = self.entry("qweight").shape
        return first, second

    def _scale(self) -> torch.Tensor:
        return self.tensor("scales").t().contiguous()

    def _zero_numbers(self) -> torch.Tensor | None:
        """int16 [groups, rows], numbers from 0."""
        if "qzeros" not in self.parts:
            return None
        words = self.tensor("qzeros").numpy()
        numbers = self._in_order(packed_integers.unpack(words, self.rows, self._bits))
        return torch.from_numpy(numbers).to(torch.int16)

    def _in_order(self, numbers: object) -> object:
        return numbers


class GptqIntegers(ColumnIntegers):
    """GPTQ's qweight: int32 [words of the columns, rows].

    Its first format stores each zero point less one, `second_format` as it is.
    """

    def __init__(
        self,
        files: SafetensorsFolder,
        name: str,
        parts: Mapping[str, str],
        *,
        bits: int,
        group: int | None,
        symmetric: bool,
        second_format: bool,
    ) -> None:
        self._less = 0 if second_format else 1
        super().__init__(files, name, parts, bits=bits, group=group, symmetric=symmetric)

    def _sizes(self) -> tuple[int, int]:
        words, rows = self._matrix_part()
        if words * 32 % self._bits:
            raise self.error(f"has {words} words a row, which {self._bits} bits do not fill")
        return rows, words * 32 // self._bits

    def _integers(self) -> torch.Tensor:
        words = self.tensor("qweight").numpy()
        return self._signed(packed_integers.unpack(words.T, self.columns, self._bits))

    def _zero(self) -> torch.Tensor | None:
        numbers = self._zero_numbers()
        if numbers is None:
            return None
        return (numbers + (self._less - (1 << self._bits - 1))).t().contiguous()


class AwqIntegers(ColumnIntegers):
    """AWQ's qweight: int32 [columns, words of the rows], eight numbers a word in AWQ's order."""

    def _sizes(self) -> tuple[int, int]:
        if self._bits != 4:
            raise self.error(f"has {self._bits} bits, which AWQ does not write (4)")
        columns, words = self._matrix_part()
        return words * 8, columns

    def _integers(self) -> torch.Tensor:
        words = self.tensor("qweight").numpy()
        numbers = packed_integers.in_awq_order(packed_integers.unpack(words, self.rows, 4))
        return self._signed(numbers).t().contiguous()

    def _zero(self) -> torch.Tensor | None:
        numbers = self._zero_numbers()
        return None if numbers is None else (numbers - 8).t().contiguous()

    def _in_order(self, numbers: object) -> object:
        return packed_integers.in_awq_order(numbers)  # type: ignore[arg-type]
