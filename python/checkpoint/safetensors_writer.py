"""Writes a safetensors file tensor by tensor, its header first.

The header follows from names, types and shapes alone, so a file of any size is written with one
tensor in memory, and its bytes do not depend on when or in how many runs it was written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import torch

from python.checkpoint.safetensors_reader import DTYPES

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ALIGNMENT = 8


@dataclass(frozen=True, kw_only=True)
class TensorHeader:
    """Type and shape of a tensor that will be written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        product = self.dtype.itemsize
        for size in self.shape:
            product *= size
        return product


def header_bytes(tensors: Mapping[str, TensorHeader], metadata: Mapping[str, str]) -> bytes:
    """The length and the header of a file that holds `tensors` in this order."""
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + tensor.bytes
        header[name] = {
            "dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape),
            "data_offsets": [offset, end]
        }  # fmt: skip
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def write_tensor(file: BinaryIO, name: str, tensor: torch.Tensor, header: TensorHeader) -> None:
    """Appends a tensor's bytes. ValueError if it is not the one that `header` describes."""
    if (tensor.dtype, tuple(tensor.shape)) != (header.dtype, header.shape):
        raise ValueError(f"{name}: {tensor.dtype} {tuple(tensor.shape)} is not {header}")
    flat = tensor.contiguous().reshape(-1)
    if flat.numel():
        file.write(flat.view(torch.uint8).numpy().data)
