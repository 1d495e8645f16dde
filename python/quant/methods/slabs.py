"""Quantizes a matrix a slab of rows at a time: the loop that every method shares.

Memory beside input and output is a few slabs, and each slab is computed in float32 on the device
that is asked for.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from python.checkpoint.quantized import QuantizedTensor, offset_dtype, scale_dtype

# Weights in a slab: on a CPU its float32 stays within the cache,
# on a GPU a kernel has enough to do.
SLAB_WEIGHTS = {"cpu": 1 << 18, "cuda": 1 << 24}

# float32 [slab, groups, group] -> scale and offset [slab, groups] in their stored types; offset
# None: symmetric.
Fit = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]


def quantize_in_slabs(
    weight: torch.Tensor, fit: Fit, *, bits: int, group: int, symmetric: bool, device: str
) -> QuantizedTensor:
    """Fits scales to weight [rows, columns] of any float type and rounds to them, on the CPU at last."""
    rows, columns = weight.shape
    groups = columns // group
    q = torch.empty((rows, columns), dtype=torch.int8)
    scale = torch.empty((rows, groups), dtype=scale_dtype(columns, group))
    offset = None
    if not symmetric:
        offset = torch.empty((rows, groups), dtype=offset_dtype(bits, columns, group))

    def quantize_rows(part: slice) -> None:
        slab = weight[part].to(device=device, dtype=torch.float32).reshape(-1, groups, group)
        slab_scale, slab_offset = fit(slab)
        q[part] = round_to(slab, slab_scale, slab_offset, bits).reshape(-1, columns)
        scale[part] = slab_scale
        if offset is not None and slab_offset is not None:
            offset[part] = slab_offset

    step = max(1, SLAB_WEIGHTS[device] // columns)
    parts = [slice(start, start + step) for start in range(0, rows, step)]
    if device == "cpu":
        _in_threads(quantize_rows, parts)
    else:
        for part in parts:
            quantize_rows(part)
    return QuantizedTensor(bits=bits, group=group, q=q, scale=scale, offset=offset)


def _in_threads(work: Callable[[slice], None], parts: list[slice]) -> None:
    """A slab a thread, instead of torch's threads that meet after every operation on a slab.

    The meetings cost more than the operations when other programs want the cores too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(max_workers=threads) as pool:
            for _ in pool.map(work, parts):
                pass
    finally:
        torch.set_num_threads(threads)


def levels(
    groups: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor | None, bits: int
) -> torch.Tensor:
    """The nearest levels for [..., group] under scale and offset [...], as float32 [..., group]."""
    scale = scale.to(torch.float32)
    shifted = groups if offset is None else groups - offset.to(torch.float32).unsqueeze(-1)
    q = torch.round(shifted / torch.where(scale == 0, 1.0, scale).unsqueeze(-1))
    return q.clamp_(-(1 << bits - 1), (1 << bits - 1) - 1)


def round_to(
    groups: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor | None, bits: int
) -> torch.Tensor:
    """The nearest levels as int8."""
    return levels(groups, scale, offset, bits).to(torch.int8)
