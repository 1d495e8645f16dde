"""The plain values of matrices of small numbers under scales.

What must stay true: each value is the exact product, rounded to float32 once.
"""

import torch

from python.checkpoint.tensor import Float8Tensor, IntegerTensor


def dequantize(tensor: IntegerTensor | Float8Tensor) -> torch.Tensor:
    """The values, float32 [rows, columns]."""
    if isinstance(tensor, IntegerTensor):
        return _integers(tensor)
    return _float8(tensor)


def _integers(tensor: IntegerTensor) -> torch.Tensor:
    w = tensor.q.to(torch.float32)  # [rows, columns]
    groups = w.reshape(w.shape[0], -1, tensor.form.group)  # a view
    if tensor.zero is not None:
        groups -= tensor.zero.to(torch.float32).unsqueeze(-1)
    groups *= tensor.scale.to(torch.float32).unsqueeze(-1)
    return w


def _float8(tensor: Float8Tensor) -> torch.Tensor:
    w = tensor.values.to(torch.float32)  # [rows, columns]
    height, width = tensor.block
    for start in range(0, w.shape[0], height):
        scale = tensor.scale[start // height].repeat_interleave(width)[: w.shape[1]]
        w[start : start + height] *= scale
    return w
