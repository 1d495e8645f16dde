"""Integers of few bits that lie densely in int32 words.

compressed-tensors, GPTQ and AWQ pack them so.

Number i of a run of words takes the bits i * bits to (i + 1) * bits - 1, counted from the lowest
bit of the first word; with 4 or 8 bits no number lies across words.
"""

import numpy as np

# Of the 8 numbers in a word of AWQ's kernels, where each column lies.
AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)


def words_for(count: int, bits: int) -> int:
    """The int32 words that `count` numbers take."""
    return -(-count * bits // 32)


def unpack(words: np.ndarray, count: int, bits: int) -> np.ndarray:
    """int32 [rows, words] -> uint8 [rows, count], numbers from 0 to 2^bits - 1."""
    data = np.ascontiguousarray(words).view(np.uint8)  # [rows, bytes], little-endian
    if bits == 8:
        return data[:, :count]
    if bits == 4:
        numbers = np.empty((data.shape[0], data.shape[1], 2), dtype=np.uint8)
        np.bitwise_and(data, 0x0F, out=numbers[:, :, 0])
        np.right_shift(data, 4, out=numbers[:, :, 1])
        return numbers.reshape(data.shape[0], -1)[:, :count]
    return _unpack_odd(data, count, bits)


def _unpack_odd(data: np.ndarray, count: int, bits: int) -> np.ndarray:
    """Row by row, since every bit becomes a byte on the way."""
    numbers = np.empty((data.shape[0], count), dtype=np.uint8)
    weights = (1 << np.arange(bits)).astype(np.uint8)
    for row, out in zip(data, numbers, strict=True):
        spread = np.unpackbits(row, count=count * bits, bitorder="little")
        np.matmul(spread.reshape(count, bits), weights, out=out)
    return numbers


def unpack_columns(words: np.ndarray, count: int, bits: int) -> np.ndarray:
    """int32 [words, columns], numbers one below another -> uint8 [count, columns]."""
    return np.ascontiguousarray(unpack(words.T, count, bits).T)


def in_awq_order(numbers: np.ndarray) -> np.ndarray:
    """uint8 [rows, n] as the words have them -> as the columns are."""
    octets = numbers.reshape(numbers.shape[0], -1, len(AWQ_ORDER))
    return np.ascontiguousarray(octets[:, :, AWQ_ORDER]).reshape(numbers.shape)
