"""One weight of a safetensors folder, whichever tensors of the folder hold it.

A source is made from headers alone, and refuses what does not fit together before a weight is read.
"""

import abc
from collections.abc import Mapping

import torch

from python.checkpoint.safetensors_reader import SafetensorsEntry, SafetensorsFolder
from python.checkpoint.tensor import DenseTensor, IntegerForm, StoredTensor, TensorInfo
from python.console.errors import FormatError


class WeightSource(abc.ABC):
    """`parts`: what each tensor is to the weight -> its name in the folder; `name`: the weight's."""

    def __init__(self, files: SafetensorsFolder, name: str, parts: Mapping[str, str]) -> None:
        self.files = files
        self.name = name
        self.parts = dict(parts)

    @abc.abstractmethod
    def describe(self, name: str) -> TensorInfo:
        """The weight, under its canonical name `name`."""

    @abc.abstractmethod
    def read(self) -> StoredTensor:
        """Raises UserError where the tensors hold what no such weight can."""

    def form(self) -> IntegerForm | None:
        """How the integers that `read` gives are scaled; None where it gives something else."""
        return None

    @property
    def bytes(self) -> int:
        return sum(self.entry(part).bytes for part in self.parts)

    def entry(self, part: str) -> SafetensorsEntry:
        return self.files.entry(self.parts[part])

    def tensor(self, part: str) -> torch.Tensor:
        return self.files.read(self.parts[part])

    def will_read(self) -> None:
        for stored in self.parts.values():
            self.files.will_read(stored)

    def error(self, problem: str) -> FormatError:
        """A FormatError about this weight."""
        return FormatError(self.files.folder, f"{self.name!r:.90} {problem}")

    def need(self, part: str, dtypes: tuple[str, ...], shape: tuple[int, ...]) -> None:
        """Raises FormatError unless the part is there, of one of these types and of this shape."""
        if part not in self.parts:
            raise self.error(f"has no {part}")
        found = self.entry(part)
        if found.dtype not in dtypes:
            raise self.error(f"has a {part} of {found.dtype} (read is {' or '.join(dtypes)})")
        if found.shape != shape:
            raise self.error(
                f"has a {part} of {list(found.shape)}, its other parts need {list(shape)}"
            )


class PlainSource(WeightSource):
    """A tensor of its own, of any shape."""

    def __init__(self, files: SafetensorsFolder, name: str) -> None:
        super().__init__(files, name, {"values": name})

    def describe(self, name: str) -> TensorInfo:
        entry = self.entry("values")
        return TensorInfo(name=name, encoding=entry.dtype, shape=entry.shape, bytes=entry.bytes)

    def read(self) -> StoredTensor:
        return DenseTensor(values=self.tensor("values"))
