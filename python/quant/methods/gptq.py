"""GPTQ: columns are rounded one after another; those still to come make up for each error.

Source: Frantar, Ashkboos, Hoefler and Alistarh, "GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers" (2022). With inverse(H) = U^T U, rounding column j by the error
e_j = (w_j - v_j) / U_jj costs e_j^2 and changes the columns after it by -e_j U_jk.

Beyond the paper: the scale of each group is chosen among candidates by the cost that the group's own
columns then have, when the columns before it are settled; and afterwards levels and scales are
improved one at a time while that lowers (w - v) H (w - v), see `_improve`. Rows do not depend on
each other and are taken in slabs.
"""

from dataclasses import dataclass

import torch

from python.checkpoint.quantized import QuantizedTensor, offset_dtype, scale_dtype
from python.quant.calibration.input_statistics import InputStatistics
from python.quant.methods import clip_search, min_max

# Weights in a slab. On a CPU a slab stays within the cache; on a GPU each operation costs a launch,
# however small, and the largest matrix of the 31B is one slab.
_SLAB_WEIGHTS = {"cpu": 1 << 21, "cuda": 1 << 28}
_BLOCK_GROUPS = 8
_SWEEPS = 2


@dataclass(kw_only=True)
class _Slab:
    """Some rows, columns in the order of the statistics; values = scale * q + offset."""

    weight: torch.Tensor  # float32 [rows, columns]: what is wanted
    values: torch.Tensor  # float32 [rows, columns]: what the levels mean
    q: torch.Tensor  # float32 [rows, columns]
    scale: torch.Tensor  # [rows, groups] in the stored type
    offset: torch.Tensor | None


def quantize_gptq(
    weight: torch.Tensor,
    statistics: InputStatistics,
    *,
    bits: int,
    symmetric: bool,
    sweeps: int = _SWEEPS,
) -> QuantizedTensor:
    """weight: float32 [rows, columns], finite, on the statistics' device; the result: on the CPU."""
    rows, columns = weight.shape
    group = statistics.group
    groups = columns // group
    q = torch.empty((rows, columns), dtype=torch.int8)
    scale = torch.empty((rows, groups), dtype=scale_dtype(columns, group))
    offset = None
    if not symmetric:
        offset = torch.empty((rows, groups), dtype=offset_dtype(bits, columns, group))
    order = statistics.order
    group_order = (order[::group] // group).cpu()
    step = max(1, _SLAB_WEIGHTS[weight.device.type] // columns)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        slab = _round(weight[part][:, order], statistics, bits, symmetric)
        for _ in range(sweeps):
            _improve(slab, statistics, bits)
        q[part, order.cpu()] = slab.q.to(torch.int8).cpu()
        scale[part, group_order] = slab.scale.cpu()
        if offset is not None and slab.offset is not None:
            offset[part, group_order] = slab.offset.cpu()
    return QuantizedTensor(bits=bits, group=group, q=q, scale=scale, offset=offset)


def _round(wanted: torch.Tensor, statistics: InputStatistics, bits: int, symmetric: bool) -> _Slab:
    """GPTQ proper. Two nested blocks, so that the columns far behind are touched seldom."""
    rows, columns = wanted.shape
    group, factor = statistics.group, statistics.inverse_factor
    work = wanted.clone()
    groups = columns // group
    dtype = scale_dtype(columns, group)
    q, values = torch.empty_like(work), torch.empty_like(work)
    scale = torch.empty((rows, groups), dtype=dtype, device=work.device)
    offset = None
    if not symmetric:
        offset = scale.new_empty(scale.shape, dtype=offset_dtype(bits, columns, group))
    width = _BLOCK_GROUPS * group
    for block in range(0, columns, width):
        end = min(columns, block + width)
        errors = work.new_empty((rows, end - block))
        for first in range(block, end, group):
            part = slice(first, first + group)
            index = first // group
            local = factor[part, part]
            s, o = _choose(work[:, part], local, bits, symmetric, dtype)
            q[:, part], error = _round_group(work[:, part], local, s, o, bits)
            scale[:, index] = s
            values[:, part] = q[:, part] * s.float().unsqueeze(-1)
            if offset is not None and o is not None:
                offset[:, index] = o
                values[:, part] += o.float().unsqueeze(-1)
            errors[:, first - block : first - block + group] = error
            work[:, first + group : end] -= error @ factor[part, first + group : end]
        work[:, end:] -= errors @ factor[block:end, end:]
    return _Slab(weight=wanted, values=values, q=q, scale=scale, offset=offset)


def _round_group(
    work: torch.Tensor,
    factor: torch.Tensor,
    scale: torch.Tensor,
    offset: torch.Tensor | None,
    bits: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """work [..., group] under scale and offset [...] -> levels and errors e [..., group].

    Six operations a column, none of which waits for the device.
    """
    group = factor.shape[0]
    # Column by column in the first place: then every column lies in one piece.
    columns = work.movedim(-1, 0).contiguous()  # [group, ...]
    if offset is not None:
        columns -= offset.float()
    step = scale.float()
    divisor = torch.where(step == 0, 1.0, step)
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    q, errors = torch.empty_like(columns), torch.empty_like(columns)
    spread = factor.reshape(group, group, *([1] * (columns.ndim - 1)))  # to every row of a column
    for j in range(group):
        torch.div(columns[j], divisor, out=q[j])
        q[j].round_().clamp_(low, high)
        torch.addcmul(columns[j], q[j], step, value=-1, out=errors[j])
        # By a number of the device: by one of Python's, CUDA multiplies with the reciprocal.
        errors[j].div_(spread[j, j])
        if j + 1 < group:
            columns[j + 1 :].addcmul_(spread[j, j + 1 :], errors[j], value=-1)
    return q.movedim(0, -1), errors.movedim(0, -1)


def _choose(
    work: torch.Tensor, factor: torch.Tensor, bits: int, symmetric: bool, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The candidate scale (and offset) under which rounding work [rows, group] costs least."""
    if symmetric:
        start = min_max.symmetric_scale(work, bits)
        scales = torch.stack(clip_search.scale_candidates(start)).to(dtype)  # [candidates, rows]
        offsets = None
    else:
        scales, offsets = clip_search.line_candidates(work, bits, dtype)
    candidates = work.expand(scales.shape[0], *work.shape)
    _, errors = _round_group(candidates, factor, scales, offsets, bits)
    cost = errors.square().sum(dim=-1)  # [candidates, rows]
    best = cost.argmin(dim=0, keepdim=True)
    chosen = scales.gather(0, best)[0]
    return chosen, None if offsets is None else offsets.gather(0, best)[0]


def _improve(slab: _Slab, statistics: InputStatistics, bits: int) -> None:
    """One sweep of coordinate descent on (w - v) H (w - v): every level, then its group's scale.

    `slope` = (w - v) H. A level moves to the nearest to v_j + slope_j / H_jj, which is the best
    value of that column when all others stay; the scale of a group moves by its own exact minimum
    if that, once stored, lowers the error.
    """
    group, moments = statistics.group, statistics.moments
    columns = moments.shape[0]
    slope = (slab.weight - slab.values) @ moments
    width = _BLOCK_GROUPS * group
    for block in range(0, columns, width):
        end = min(columns, block + width)
        before = slab.values[:, block:end].clone()
        local = slope[:, block:end].clone()
        for first in range(block, end, group):
            part = slice(first, first + group)
            inside = slice(first - block, first - block + group)
            old = slab.values[:, part].clone()
            _improve_levels(slab, part, local[:, inside].clone(), moments[part, part], bits)
            _improve_scale(
                slab, part,
                local[:, inside] - (slab.values[:, part] - old) @ moments[part, part],
                moments[part, part],
            )  # fmt: skip
            local -= (slab.values[:, part] - old) @ moments[part, block:end]
        slope -= (slab.values[:, block:end] - before) @ moments[block:end]


def _improve_levels(
    slab: _Slab, part: slice, slope: torch.Tensor, moments: torch.Tensor, bits: int
) -> None:
    """slope: [rows, group] of these columns; moments: [group, group]."""
    group = part.stop - part.start
    index = part.start // group
    step = slab.scale[:, index].float()
    divisor = torch.where(step == 0, 1.0, step)
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    # Column by column in the first place, without the offset: every column lies in one piece.
    values = slab.values[:, part].t().contiguous()  # [group, rows]
    offset = None if slab.offset is None else slab.offset[:, index].float()
    if offset is not None:
        values -= offset
    slope = slope.t().contiguous()
    q = torch.empty_like(values)
    spread = moments.unsqueeze(-1)  # [group, group, 1]
    for j in range(group):
        torch.div(slope[j], spread[j, j], out=q[j])
        q[j].add_(values[j]).div_(divisor).round_().clamp_(low, high)
        moved = torch.addcmul(values[j], q[j], step, value=-1)  # minus the change
        if j + 1 < group:
            slope[j + 1 :].addcmul_(spread[j, j + 1 :], moved)
    slab.q[:, part] = q.t()
    values = q * step if offset is None else q * step + offset
    slab.values[:, part] = values.t()


def _improve_scale(slab: _Slab, part: slice, slope: torch.Tensor, moments: torch.Tensor) -> None:
    if slab.offset is not None:
        return
    index = part.start // (part.stop - part.start)
    q, scale = slab.q[:, part], slab.scale[:, index]
    curvature = ((q @ moments) * q).sum(dim=-1)
    gradient = (q * slope).sum(dim=-1)
    wanted = scale.float() + gradient / curvature.clamp_min(1e-30)
    stored = torch.where(curvature > 0, wanted, scale.float()).to(scale.dtype)
    change = stored.float() - scale.float()
    better = change * (change * curvature - 2 * gradient) < 0
    stored = torch.where(better, stored, scale)
    slab.scale[:, index] = stored
    slab.values[:, part] = q * stored.float().unsqueeze(-1)
