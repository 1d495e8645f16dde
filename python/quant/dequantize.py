"""The plain values of whatever a checkpoint stores or a quantizer gives."""

import torch

from python.checkpoint import gguf_blocks, quantized, scaled_values
from python.checkpoint.quantized import QuantizedTensor
from python.checkpoint.tensor import (
    BlockTensor,
    DenseTensor,
    Float8Tensor,
    Fp4Tensor,
    IntegerTensor,
    StoredTensor,
)


def dequantize(name: str, tensor: StoredTensor | QuantizedTensor) -> torch.Tensor:
    """The values: float32, or as stored if plain. Raises UserError, naming the weight."""
    if isinstance(tensor, DenseTensor):
        return tensor.values
    if isinstance(tensor, BlockTensor):
        return torch.from_numpy(gguf_blocks.dequantize(tensor))
    if isinstance(tensor, QuantizedTensor | Fp4Tensor):
        return tensor.dequantize()
    if isinstance(tensor, IntegerTensor | Float8Tensor):
        return scaled_values.dequantize(tensor)
    return quantized.from_torchao(name, tensor).dequantize()
