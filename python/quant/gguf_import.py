"""GGUF blocks whose numbers are already those of the canonical form, taken over without rounding.

Q4_0 is symmetric 4 bits, Q4_1 asymmetric 4 bits and Q8_0 symmetric 8 bits, all with groups of 32.
So a checkpoint that was trained for Q4_0 keeps its exact
weights through the recipe `qat`, and through `default`.
"""

import numpy as np
import torch

from python.checkpoint import gguf_blocks
from python.checkpoint.quantized import QuantizedTensor, offset_dtype, scale_dtype
from python.checkpoint.tensor import BlockTensor
from python.quant.recipe import QuantConfig

_GROUP = 32
_SLAB_COLUMNS = 1 << 22
# Type -> bits, symmetric, and the q of the file that is q = 0 here.
_TYPES = {"Q4_0": (4, True, 0), "Q4_1": (4, False, 8), "Q8_0": (8, True, 0)}


def import_exactly(tensor: BlockTensor, config: QuantConfig) -> QuantizedTensor | None:
    """The blocks as `config` wants them, or None where that would change a weight."""
    wanted = (config.bits, config.symmetric)
    if (
        tensor.type.name not in _TYPES
        or _TYPES[tensor.type.name][:2] != wanted
        or config.group != _GROUP
    ):
        return None
    bits, symmetric, zero = _TYPES[tensor.type.name]
    groups = tensor.columns // _GROUP
    q = np.empty((tensor.rows, tensor.columns), dtype=np.int8)
    scale = np.empty((tensor.rows, groups), dtype=np.float32)
    offset = None if symmetric else np.empty_like(scale)
    step = max(1, _SLAB_COLUMNS // tensor.columns)
    for start in range(0, tensor.rows, step):
        rows = slice(start, start + step)
        decoded = gguf_blocks.decode(
            tensor.type, tensor.blocks[rows].reshape(-1, tensor.type.bytes)
        )
        q[rows] = decoded.q.reshape(-1, tensor.columns) - np.int8(zero)
        scale[rows] = decoded.scale.reshape(-1, groups)
        if offset is not None and decoded.offset is not None:
            offset[rows] = decoded.offset.reshape(-1, groups) + zero * scale[rows]
    return _exact(bits, q, scale, offset)


def _exact(
    bits: int, q: np.ndarray, scale: np.ndarray, offset: np.ndarray | None
) -> QuantizedTensor | None:
    columns = q.shape[1]
    kept_scale = torch.from_numpy(scale).to(scale_dtype(columns, _GROUP))
    kept_offset = None
    if not np.isfinite(scale).all():
        return None
    if offset is not None:
        kept_offset = torch.from_numpy(offset).to(offset_dtype(bits, columns, _GROUP))
        if not torch.equal(kept_offset.to(torch.float32), torch.from_numpy(offset)):
            return None
    return QuantizedTensor(
        bits=bits, group=_GROUP, q=torch.from_numpy(q), scale=kept_scale, offset=kept_offset
    )
