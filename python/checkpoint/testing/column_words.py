"""For tests: the tensors of GPTQ's and AWQ's own formats, written from their published description.

Shares nothing with the readers: words are built number by number.
"""

import torch

# The columns that a word of AWQ holds, from its lowest bits up.
_AWQ_COLUMNS = (0, 2, 4, 6, 1, 3, 5, 7)


def gptq_parts(
    q: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, *, bits: int, second_format: bool
) -> dict[str, torch.Tensor]:
    """q: [rows, columns] from 0; scale, zero: [rows, groups]; the first format stores zero - 1."""
    group = q.shape[1] // scale.shape[1]
    stored = zero.t() - (0 if second_format else 1)
    return {
        "qweight": _words(q.t().contiguous(), bits, 0),
        "qzeros": _words(stored % (1 << bits), bits, 1),
        "scales": scale.t().contiguous(),
        "g_idx": (torch.arange(q.shape[1]) // group).to(torch.int32),
    }


def awq_parts(q: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> dict[str, torch.Tensor]:
    """q: [rows, columns], 0 to 15; scale, zero: [rows, groups]."""
    return {
        "qweight": _words(_in_awq_order(q.t()), 4, 1),
        "qzeros": _words(_in_awq_order(zero.t()), 4, 1),
        "scales": scale.t().contiguous(),
    }


def _in_awq_order(numbers: torch.Tensor) -> torch.Tensor:
    order = [octet + column for octet in range(0, numbers.shape[1], 8) for column in _AWQ_COLUMNS]
    return numbers[:, order]


def _words(numbers: torch.Tensor, bits: int, dim: int) -> torch.Tensor:
    """int32 words of numbers side by side along `dim`, the first in the lowest bits."""
    count = 32 // bits
    shape = (*numbers.shape[:dim], -1, count, *numbers.shape[dim + 1 :])
    lanes = numbers.to(torch.int64).reshape(shape).unbind(dim + 1)
    words = sum(lane << (bits * place) for place, lane in enumerate(lanes))
    assert isinstance(words, torch.Tensor)
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32).contiguous()
