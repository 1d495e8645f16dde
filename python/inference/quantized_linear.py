"""Linear layers and the embedding over weights that stay packed.

INT4 on CUDA: tinygemm for few tokens, for many the weights are dequantized,
a block of rows at a time, and multiplied by cuBLAS. Everything else
(INT8, the CPU, shapes that tinygemm lacks) is dequantized for every product.
Invariant: beside the packed weight, only one block of its rows is in memory.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from python.inference.packed_weight import PackedWeight, TilePackedInt4

# Tokens up to which tinygemm multiplies. Measured on an H100 (PyTorch 2.11, gemma4_31b's matrices of
# 5376 columns, median of 20): at 128 tokens it takes half the time of dequantizing, at 256 about the
# same, and the dequantized weights are exact.
TINYGEMM_TOKENS = 128
_BLOCK_WEIGHTS = {"cpu": 1 << 20, "cuda": 1 << 26}
_BLOCK_ROWS = 8  # blocks are multiples of it: the rows of a tile


class QuantizedLinear(nn.Module):
    """x w^T, in place of an nn.Linear without bias."""

    def __init__(self, weight: PackedWeight, tinygemm_tokens: int = TINYGEMM_TOKENS) -> None:
        super().__init__()
        self.packed = weight
        self.tinygemm_tokens = tinygemm_tokens

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [..., columns] -> [..., rows] of the same type."""
        flat = x.reshape(-1, x.shape[-1])
        if isinstance(self.packed, TilePackedInt4) and flat.shape[0] <= self.tinygemm_tokens:
            product = self.packed.multiply(flat)
        else:
            product = multiply_dequantized(flat, self.packed)
        return product.reshape(*x.shape[:-1], self.packed.rows)


class QuantizedEmbedding(nn.Module):
    """Rows by token, in place of a `transformer.TokenEmbedding`."""

    def __init__(self, weight: PackedWeight, dtype: torch.dtype) -> None:
        super().__init__()
        self.packed = weight
        self.dtype = dtype

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """int64 [1, tokens] -> [1, tokens, hidden]."""
        return self.packed.dequantize(tokens.flatten(), self.dtype).reshape(*tokens.shape, -1)

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """As the tied head. x: [1, tokens, hidden] -> [1, tokens, vocab]."""
        flat = x.reshape(-1, x.shape[-1])
        return multiply_dequantized(flat, self.packed).reshape(*x.shape[:-1], -1)


def multiply_dequantized(x: torch.Tensor, weight: PackedWeight) -> torch.Tensor:
    """x w^T with the values of w in the type of x. x: [tokens, columns] -> [tokens, rows]."""
    step = _BLOCK_WEIGHTS[x.device.type] // weight.columns
    step = max(_BLOCK_ROWS, step // _BLOCK_ROWS * _BLOCK_ROWS)
    parts = [slice(start, start + step) for start in range(0, weight.rows, step)]
    products = [functional.linear(x, weight.dequantize(rows, x.dtype)) for rows in parts]
    return products[0] if len(products) == 1 else torch.cat(products, dim=-1)
