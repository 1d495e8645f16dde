"""The numbers inside GGML's quantized blocks: the reference for packing and kernels.

Every type says w = scale * q + offset with one scale (and offset) for a run of columns. `decode`
gives these three in float32, computed in gguf-py's order, so that `dequantize` equals gguf-py to
the last bit. Layouts: the block structures of ggml-common.h; a block's bytes are the last axis of
`blocks`, uint8 [n, type.bytes].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from python.checkpoint import ggml_types
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.levels import IQ4_LEVELS
from python.checkpoint.tensor import BlockTensor

_SLAB_COLUMNS = 1 << 22  # numbers decoded at a time by `dequantize`

_IQ4_LEVELS = np.array(IQ4_LEVELS, dtype=np.int8)


@dataclass(frozen=True, kw_only=True)
class DecodedBlocks:
    """w[n, c] = scale[n, c // run] * q[n, c] + offset[n, c // run]; run = columns / scales a row.

    q: int8 [n, columns]; scale: float32 [n, scales]; offset: the same shape, or None for zero.
    """

    q: np.ndarray
    scale: np.ndarray
    offset: np.ndarray | None

    def values(self) -> np.ndarray:
        """w: float32 [n, columns]."""
        n, scales = self.scale.shape
        with np.errstate(invalid="ignore", over="ignore"):  # a hostile block may hold infinities
            w = self.q.astype(np.float32).reshape(n, scales, -1)
            w *= self.scale[:, :, None]
            if self.offset is not None:
                w += self.offset[:, :, None]
        return w.reshape(n, -1)


def decode(kind: GgmlType, blocks: np.ndarray) -> DecodedBlocks:
    """Decodes blocks, uint8 [n, kind.bytes], of a quantized type."""
    with np.errstate(invalid="ignore", over="ignore"):
        return _DECODERS[kind.name](blocks)


def dequantize(tensor: BlockTensor) -> np.ndarray:
    """The matrix as float32 [rows, columns], a slab of rows at a time."""
    result = np.empty((tensor.rows, tensor.columns), dtype=np.float32)
    slab = max(1, _SLAB_COLUMNS // tensor.columns)
    for start in range(0, tensor.rows, slab):
        blocks = tensor.blocks[start : start + slab].reshape(-1, tensor.type.bytes)
        values = decode(tensor.type, blocks).values()
        result[start : start + slab] = values.reshape(-1, tensor.columns)
    return result


def half(blocks: np.ndarray, start: int) -> np.ndarray:
    """The float16 at byte `start` of each block, as float32 [n, 1]."""
    return np.ascontiguousarray(blocks[:, start : start + 2]).view(np.float16).astype(np.float32)


def nibbles(packed: np.ndarray) -> np.ndarray:
    """uint8 [n, runs, bytes] -> uint8 [n, runs * bytes * 2]: a run's low halves, then its high ones."""
    n, runs, size = packed.shape
    out = np.empty((n, runs, 2, size), dtype=np.uint8)
    np.bitwise_and(packed, 0x0F, out=out[:, :, 0])
    np.right_shift(packed, 4, out=out[:, :, 1])
    return out.reshape(n, -1)


def bits(packed: np.ndarray, width: int) -> np.ndarray:
    """uint8 [n, runs, bytes] -> uint8 [n, runs, 8 / width, bytes]: fields of a byte, lowest first."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    fields: np.ndarray = (packed[:, :, None, :] >> shifts) & np.uint8((1 << width) - 1)
    return fields


def k_scales(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 6-bit scales and minimums of Q4_K and Q5_K: uint8 [n, 12] -> two of uint8 [n, 8].

    Bytes 0-3 and 4-7 hold the first four scales and minimums in 6 bits; their upper 2 bits and the
    halves of bytes 8-11 make the last four.
    """
    first_scales, first_mins, rest = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate(
        [first_scales & 0x3F, (rest & 0x0F) | ((first_scales >> 2) & 0x30)], axis=1
    )
    mins = np.concatenate([first_mins & 0x3F, (rest >> 4) | ((first_mins >> 2) & 0x30)], axis=1)
    return scales, mins


def _five_bits(blocks: np.ndarray, start: int) -> np.ndarray:
    """q of Q5_0 and Q5_1: 4 bytes of high bits, bit j for column j, then 16 bytes of nibbles."""
    high = np.unpackbits(blocks[:, start : start + 4], axis=1, bitorder="little")
    q: np.ndarray = nibbles(blocks[:, None, start + 4 : start + 20]) | (high << 4)
    return q


def _signed(q: np.ndarray, zero: int) -> np.ndarray:
    return q.astype(np.int8) - np.int8(zero)


def _q4_0(blocks: np.ndarray) -> DecodedBlocks:
    return DecodedBlocks(
        q=_signed(nibbles(blocks[:, None, 2:]), 8), scale=half(blocks, 0), offset=None
    )


def _q4_1(blocks: np.ndarray) -> DecodedBlocks:
    q = nibbles(blocks[:, None, 4:]).view(np.int8)
    return DecodedBlocks(q=q, scale=half(blocks, 0), offset=half(blocks, 2))


def _q5_0(blocks: np.ndarray) -> DecodedBlocks:
    return DecodedBlocks(q=_signed(_five_bits(blocks, 2), 16), scale=half(blocks, 0), offset=None)


def _q5_1(blocks: np.ndarray) -> DecodedBlocks:
    return DecodedBlocks(
        q=_five_bits(blocks, 4).view(np.int8), scale=half(blocks, 0), offset=half(blocks, 2)
    )


def _q8_0(blocks: np.ndarray) -> DecodedBlocks:
    return DecodedBlocks(
        q=np.ascontiguousarray(blocks[:, 2:]).view(np.int8), scale=half(blocks, 0), offset=None
    )


def _q2_k(blocks: np.ndarray) -> DecodedBlocks:
    packed = blocks[:, :16]
    scale = half(blocks, 80) * (packed & 0x0F).astype(np.float32)
    minimum = half(blocks, 82) * (packed >> 4).astype(np.float32)
    q = bits(blocks[:, 16:80].reshape(-1, 2, 32), 2).reshape(-1, 256).view(np.int8)
    return DecodedBlocks(q=q, scale=scale, offset=-minimum)


def q3_k_scales(packed: np.ndarray) -> np.ndarray:
    """The 16 scales, 6 bits each: uint8 [n, 12] -> int8 [n, 16], -32 to 31."""
    low = nibbles(packed[:, None, :8])
    high = bits(packed[:, None, 8:], 2).reshape(-1, 16)
    return _signed(low | (high << 4), 32)


def _q3_k(blocks: np.ndarray) -> DecodedBlocks:
    low = bits(blocks[:, 32:96].reshape(-1, 2, 32), 2).reshape(-1, 256)
    high = bits(blocks[:, None, :32], 1).reshape(
        -1, 256
    )  # a set bit means that 4 is not subtracted
    scale = half(blocks, 108) * q3_k_scales(blocks[:, 96:108]).astype(np.float32)
    return DecodedBlocks(q=_signed(low | (high << 2), 4), scale=scale, offset=None)


def _k_scale_and_offset(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scales, mins = k_scales(blocks[:, 4:16])
    return half(blocks, 0) * scales.astype(np.float32), -(half(blocks, 2) * mins.astype(np.float32))


def _q4_k(blocks: np.ndarray) -> DecodedBlocks:
    scale, offset = _k_scale_and_offset(blocks)
    return DecodedBlocks(
        q=nibbles(blocks[:, 16:].reshape(-1, 4, 32)).view(np.int8), scale=scale, offset=offset
    )


def _q5_k(blocks: np.ndarray) -> DecodedBlocks:
    scale, offset = _k_scale_and_offset(blocks)
    high = bits(blocks[:, None, 16:48], 1).reshape(-1, 256)
    low = nibbles(blocks[:, 48:].reshape(-1, 4, 32))
    return DecodedBlocks(q=(low | (high << 4)).view(np.int8), scale=scale, offset=offset)


def _q6_k(blocks: np.ndarray) -> DecodedBlocks:
    low = nibbles(blocks[:, :128].reshape(-1, 2, 64))
    high = bits(blocks[:, 128:192].reshape(-1, 2, 32), 2).reshape(-1, 256)
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
    return DecodedBlocks(
        q=_signed(low | (high << 4), 32), scale=half(blocks, 208) * scales, offset=None
    )


def _iq4_nl(blocks: np.ndarray) -> DecodedBlocks:
    return DecodedBlocks(
        q=_IQ4_LEVELS[nibbles(blocks[:, None, 2:])], scale=half(blocks, 0), offset=None
    )


def _iq4_xs(blocks: np.ndarray) -> DecodedBlocks:
    high = bits(blocks[:, 2:4, None], 2).reshape(-1, 8)
    low = bits(blocks[:, 4:8, None], 4).reshape(-1, 8)
    scale = half(blocks, 0) * _signed(low | (high << 4), 32).astype(np.float32)
    return DecodedBlocks(
        q=_IQ4_LEVELS[nibbles(blocks[:, 8:].reshape(-1, 8, 16))], scale=scale, offset=None
    )


_DECODERS: dict[str, Callable[[np.ndarray], DecodedBlocks]] = {
    ggml_types.Q4_0.name: _q4_0, ggml_types.Q4_1.name: _q4_1, ggml_types.Q5_0.name: _q5_0,
    ggml_types.Q5_1.name: _q5_1,
    ggml_types.Q8_0.name: _q8_0, ggml_types.Q2_K.name: _q2_k, ggml_types.Q3_K.name: _q3_k,
    ggml_types.Q4_K.name: _q4_k,
    ggml_types.Q5_K.name: _q5_k, ggml_types.Q6_K.name: _q6_k, ggml_types.IQ4_NL.name: _iq4_nl,
    ggml_types.IQ4_XS.name: _iq4_xs,
}  # fmt: skip
