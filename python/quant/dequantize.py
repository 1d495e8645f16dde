"""The plain values of whatever a checkpoint stores or a quantizer gives."""

import torch

from python.checkpoint import gguf_blocks
from python.checkpoint.tensor import BlockTensor, DenseTensor, StoredTensor
from python.quant import quantized
from python.quant.quantized import QuantizedTensor


def dequantize(name: str, tensor: StoredTensor | QuantizedTensor) -> torch.Tensor:
    """The values: float32, or as stored if plain. Raises UserError, naming the weight."""
    if isinstance(tensor, DenseTensor):
        return tensor.values
    if isinstance(tensor, BlockTensor):
        return torch.from_numpy(gguf_blocks.dequantize(tensor))
    if isinstance(tensor, QuantizedTensor):
        return tensor.dequantize()
    return quantized.from_torchao(name, tensor).dequantize()
