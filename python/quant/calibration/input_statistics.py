"""The inputs of a matrix as calibration sees them: second moments, and a factor of the inverse.

The error of a quantized matrix on its inputs x [tokens, columns] is that of one row after another,
|x (w - v)|^2 = (w - v) H (w - v) with H = x^T x. H is damped so that directions which the text
never used keep a cost of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from python.console.errors import UserError

# Of the mean of H's diagonal. GPTQ's paper has 0.01; on text unlike the calibration's, ten times as
# much costs less (docs/benchmarks/quality_270m.md).
DAMPING = 0.1
_MAX_DAMPING = 1.0
# Up to so many columns the factor is computed in float64;
# beyond, its memory would be that of the largest weight.
_DOUBLE_COLUMNS = 4096


@dataclass(frozen=True, kw_only=True)
class InputStatistics:
    """moments: H, damped, float32 [columns, columns]; inverse_factor: upper triangular U, the same.

    inverse(H) = U^T U, both in `order`.

    order: int64 [columns], the columns from the one that is quantized first to the last. Columns of
    a group of `group` stay together.
    """

    moments: torch.Tensor
    inverse_factor: torch.Tensor
    order: torch.Tensor
    group: int


def second_moments(inputs: Iterable[torch.Tensor], columns: int) -> torch.Tensor:
    """Sum of x^T x over slabs x [tokens, columns], float32 [columns, columns]."""
    moments: torch.Tensor | None = None
    for x in inputs:
        if moments is None:
            moments = torch.zeros((columns, columns), dtype=torch.float32, device=x.device)
        moments.addmm_(x.t(), x)
    if moments is None:
        raise ValueError("no inputs")
    return moments


def statistics_of(name: str, moments: torch.Tensor, group: int) -> InputStatistics:
    """Damps, orders and factors H = `moments`, which it overwrites.

    Raises UserError, naming the weight, where the inputs are not finite.
    """
    diagonal = moments.diagonal()
    mean = float(diagonal.mean())
    if not torch.isfinite(diagonal).all():
        raise UserError(f"{name}: its inputs on the calibration text are not finite")
    order = _order(diagonal, group)
    moments = moments[order][:, order]
    scale = mean or 1.0
    damping = DAMPING
    added = 0.0
    while damping <= _MAX_DAMPING:
        moments.diagonal().add_(damping * scale - added)
        added = damping * scale
        factor = _inverse_factor(moments)
        if factor is not None:
            return InputStatistics(moments=moments, inverse_factor=factor, order=order, group=group)
        damping *= 10
    raise UserError(
        f"{name}: the second moments of its inputs cannot be factored (use a longer calibration "
        "text)"
    )


def _order(diagonal: torch.Tensor, group: int) -> torch.Tensor:
    """Groups from the largest inputs to the smallest, and so the columns of each group.

    What comes first leaves its error to more columns that can still make up for it.
    """
    grouped = diagonal.reshape(-1, group)
    within = torch.argsort(grouped, dim=1, descending=True, stable=True)
    groups = torch.argsort(grouped.mean(dim=1), descending=True, stable=True)
    return (groups.unsqueeze(1) * group + within[groups]).reshape(-1)


def _inverse_factor(moments: torch.Tensor) -> torch.Tensor | None:
    """U of inverse(H) = U^T U, without the inverse; None if H is not positive definite.

    With J the reversal of order, J H J = L L^T gives H = (J L J) (J L J)^T, where J L J is upper
    triangular; U is its inverse.
    """
    columns = moments.shape[0]
    dtype = torch.float64 if columns <= _DOUBLE_COLUMNS else torch.float32
    reversed_factor, info = torch.linalg.cholesky_ex(moments.flip(0, 1).to(dtype))
    if int(info):
        return None
    upper = reversed_factor.flip(0, 1)
    del reversed_factor
    identity = torch.eye(columns, dtype=dtype, device=moments.device)
    factor = torch.linalg.solve_triangular(upper, identity, upper=True)
    return factor.to(torch.float32) if bool(torch.isfinite(factor).all()) else None
