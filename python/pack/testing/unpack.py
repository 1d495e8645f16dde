"""The reference for every packed layout: its values as docs/formats.md states them, slowly.

Kernels are tested against this, and it shares no code with packing but the table of planes.
"""

import numpy as np

from python.pack.layouts import K_COLUMNS, Layout, PackedWeight

_IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_E2M1_TWICE = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)


def unpack(weight: PackedWeight) -> np.ndarray:
    """The matrix as float32 [rows, columns]."""
    with np.errstate(invalid="ignore", over="ignore"):
        if weight.shape.layout in (Layout.F32, Layout.F16):
            return weight.plane("values").astype(np.float32)
        if weight.shape.layout is Layout.BF16:
            bits: np.ndarray = weight.plane("values").astype(np.uint32) << 16
            return bits.view(np.float32)
        if weight.shape.layout is Layout.INT8:
            return _unpack_int8(weight)
        if weight.shape.layout is Layout.Q6_K:
            return _unpack_q6_k(weight)
        if weight.shape.layout in (Layout.Q4_K, Layout.Q5_K):
            return _unpack_k(weight)
        if weight.shape.layout is Layout.IQ4_NL:
            return _by_column(weight.plane("scale"), weight) * _levels(weight, _IQ4)
        if weight.shape.layout is Layout.IQ4_XS:
            return _unpack_iq4_xs(weight)
        if weight.shape.layout is Layout.NVFP4:
            return _unpack_nvfp4(weight)
        return _unpack_int(weight)


def quants(weight: PackedWeight) -> np.ndarray:
    """q of an integer layout, from 0: uint8 [rows, columns]. Column c is looked up bit by bit."""
    column = np.arange(weight.shape.columns)
    within = column % 32
    nibble = weight.plane("nibble")[:, column // 32 * 16 + within % 16]
    q: np.ndarray = (nibble >> (4 * (within // 16)).astype(np.uint8)) & 0x0F
    if weight.shape.layout in (Layout.INT5, Layout.INT5_MIN, Layout.Q5_K):
        bit = (weight.plane("bit")[:, column // 32] >> within.astype(np.uint32)) & 1
        q = q | (bit.astype(np.uint8) << 4)
    if weight.shape.layout is Layout.Q6_K:
        pair = weight.plane("pair")[:, column // 32 * 8 + within % 8]
        q = q | (((pair >> (2 * (within // 8)).astype(np.uint8)) & 3) << 4)
    return q


def _by_column(scale: np.ndarray, weight: PackedWeight) -> np.ndarray:
    """[rows, columns / run] -> float32 [rows, columns]."""
    return np.repeat(scale.astype(np.float32), weight.shape.columns // scale.shape[1], axis=1)


def _unpack_int8(weight: PackedWeight) -> np.ndarray:
    w: np.ndarray = weight.plane("int8").astype(np.float32) * _by_column(
        weight.plane("scale"), weight
    )
    return w


def _unpack_int(weight: PackedWeight) -> np.ndarray:
    q = quants(weight).astype(np.float32)
    scale = _by_column(weight.plane("scale"), weight)
    if weight.shape.layout in (Layout.INT4_MIN, Layout.INT5_MIN):
        w: np.ndarray = scale * q + _by_column(weight.plane("min"), weight)
    else:
        w = scale * (q - np.float32({Layout.INT4: 8, Layout.INT5: 16}[weight.shape.layout]))
    return w


def _unpack_q6_k(weight: PackedWeight) -> np.ndarray:
    d = _by_column(weight.plane("d"), weight)
    scale = _by_column(weight.plane("scale"), weight)
    w: np.ndarray = (d * scale) * (quants(weight).astype(np.float32) - np.float32(32))
    return w


def _unpack_k(weight: PackedWeight) -> np.ndarray:
    scales = weight.plane("scales")  # [rows, blocks, 12]
    group = np.arange(weight.shape.columns) % K_COLUMNS // 32
    block = np.arange(weight.shape.columns) // K_COLUMNS
    sc = np.empty((weight.shape.rows, weight.shape.columns), dtype=np.float32)
    m = np.empty_like(sc)
    for g in range(8):
        columns = np.flatnonzero(group == g)
        packed = scales[:, block[columns]]  # [rows, these columns, 12]
        if g < 4:
            sc[:, columns] = packed[..., g] & 63
            m[:, columns] = packed[..., g + 4] & 63
        else:
            sc[:, columns] = (packed[..., g + 4] & 15) | (packed[..., g - 4] >> 6 << 4)
            m[:, columns] = (packed[..., g + 4] >> 4) | (packed[..., g] >> 6 << 4)
    d = weight.plane("d").astype(np.float32)  # [rows, blocks, 2]
    w: np.ndarray = (d[:, block, 0] * sc) * quants(weight).astype(np.float32)
    w -= d[:, block, 1] * m
    return w


def _levels(weight: PackedWeight, levels: tuple[int, ...]) -> np.ndarray:
    """What the codes stand for: float32 [rows, columns]."""
    return np.array(levels, dtype=np.float32)[quants(weight)]


def _unpack_iq4_xs(weight: PackedWeight) -> np.ndarray:
    scales = weight.plane("scales")  # [rows, blocks, 8]: float16 d, 8 x 2 high bits, 8 x 4 low bits
    d = np.ascontiguousarray(scales[..., :2]).view("<f2").astype(np.float32)[..., 0]
    sc = np.empty((*d.shape, 8), dtype=np.float32)
    for g in range(8):
        high = scales[..., 2 + g // 4] >> (2 * (g % 4)) & 3
        low = scales[..., 4 + g // 2] >> (4 * (g % 2)) & 15
        sc[..., g] = (high << 4 | low).astype(np.int32) - 32
    scale = (d[..., None] * sc).reshape(weight.shape.rows, -1)
    w: np.ndarray = _by_column(scale, weight) * _levels(weight, _IQ4)
    return w


def _unpack_nvfp4(weight: PackedWeight) -> np.ndarray:
    codes = weight.plane("scale").astype(np.int32)  # [rows, columns / 16], E4M3
    exponent, mantissa = codes >> 3 & 15, codes & 7
    size = np.where(
        exponent == 0, np.ldexp(mantissa, -9), np.ldexp(8 + mantissa, exponent - 10)
    ).astype(np.float32)
    scale = weight.plane("d") * np.where(codes & 128, -size, size)
    w: np.ndarray = np.repeat(scale, 16, axis=1) * _levels(weight, _E2M1_TWICE)
    return w
