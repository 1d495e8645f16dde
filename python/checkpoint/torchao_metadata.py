"""How torchao writes its tensor subclasses into safetensors: names of parts, and metadata.

The same as torchao.prototype.safetensors' flatten_tensor_state_dict gives (a test compares them),
but without tensors: a header must be known before the first weight is quantized.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch

from python.checkpoint.tensor import TorchaoTensor

PLAIN = json.dumps({"_type": "Tensor"})


def part_name(name: str, part: str) -> str:
    """`a.b.weight`, `scale` -> `a.b._weight_scale`."""
    module, weight = name.rsplit(".", 1)
    return f"{module}._{weight}_{part}"


def attributes(
    bits: int, shape: tuple[int, ...], group: int, dtype: torch.dtype
) -> tuple[str, dict[str, Any]]:
    """torchao's class for a matrix of 4 or 8 bits, and its attributes beside its tensors."""
    block_size = [1, group]
    if bits == 4:
        return "Int4Tensor", {
            "activation_dtype": _dtype(torch.bfloat16),
            "block_size": block_size,
            "shape": list(shape),
        }
    return "IntxUnpackedToInt8Tensor", {
        "target_dtype": _dtype(torch.int8),
        "block_size": block_size,
        "dtype": _dtype(dtype),
        "activation_quantization": None,
    }


def entry(class_name: str, values: Mapping[str, Any], parts: tuple[str, ...]) -> str:
    """The metadata entry of a tensor subclass, in torchao's own spelling."""
    return json.dumps(
        {"_type": class_name, "_data": dict(values), "_tensor_data_names": list(parts)}
    )


def subclass_metadata(tensor: TorchaoTensor) -> str:
    """The metadata entry of a tensor that is there."""
    return entry(tensor.class_name, tensor.attributes, tuple(tensor.parts))


def _dtype(dtype: torch.dtype) -> dict[str, str]:
    """A type as torchao's metadata and configs spell it."""
    return {"_type": "torch.dtype", "_data": str(dtype).removeprefix("torch.")}
