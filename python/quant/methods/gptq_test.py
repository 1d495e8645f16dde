"""Tests of GPTQ: against the paper's formula, against plain rounding, and of each step's direction."""

import itertools
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from python.checkpoint.quantized import QuantizedTensor
from python.console.errors import UserError
from python.quant.calibration.input_statistics import (
    DAMPING,
    InputStatistics,
    second_moments,
    statistics_of,
)
from python.quant.methods import gptq
from python.quant.methods.clip_search import quantize_least_squares
from python.quant.methods.gptq import quantize_gptq

_MOST_LAUNCHES = {True: 32, False: 50}  # symmetric: columns count most, else candidates do


def _inputs(columns: int, seed: int = 0, tokens: int = 512) -> torch.Tensor:
    """Correlated inputs [tokens, columns], some columns much larger than others."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(tokens, columns // 4, generator=generator)
    mixed = mixed @ torch.randn(columns // 4, columns, generator=generator) / columns**0.5
    x = mixed + 0.2 * torch.randn(tokens, columns, generator=generator)
    return x * (0.2 + torch.rand(columns, generator=generator) ** 3 * 4)


def _statistics(x: torch.Tensor, group: int = 32) -> InputStatistics:
    return statistics_of("w", second_moments([x], x.shape[1]), group)


def _error(weight: torch.Tensor, quantized: QuantizedTensor, x: torch.Tensor) -> float:
    return float(((weight - quantized.dequantize()) @ x.t()).square().sum())


def test_the_factor_is_that_of_the_damped_inverse() -> None:
    x = _inputs(96)
    statistics = _statistics(x)
    h = (x.t() @ x).double()
    h += DAMPING * h.diagonal().mean() * torch.eye(96)
    h = h[statistics.order][:, statistics.order]
    u = statistics.inverse_factor.double()
    assert torch.equal(u, u.triu())
    identity = u.t() @ u @ h
    error = float((identity - torch.eye(96)).abs().max())
    print(f"largest error {error:.1e}, at most 1e-4")
    assert error < 1e-4
    groups = statistics.order.reshape(-1, 32) // 32
    assert bool((groups == groups[:, :1]).all())  # groups stay together
    sizes = statistics.moments.diagonal().reshape(-1, 32)
    assert bool((sizes.diff(dim=1) <= 0).all()) and bool((sizes.mean(1).diff() <= 0).all())


def test_rounding_equals_the_papers_formula() -> None:
    """One group after another, one column after another, nothing blocked, in float64.

    The inverse is updated as the paper derives it.
    """
    x = _inputs(64)
    statistics = _statistics(x)
    weight = torch.randn(5, 64, generator=torch.Generator().manual_seed(1))
    found = quantize_gptq(weight, statistics, bits=4, symmetric=True, sweeps=0)
    order = statistics.order
    inverse = torch.linalg.inv(statistics.moments.double())
    work = weight[:, order].double()
    scale = found.scale.double()[:, order // 32]
    expected = torch.empty_like(work)
    for j in range(64):
        expected[:, j] = (work[:, j] / scale[:, j]).round().clamp(-8, 7)
        error = (work[:, j] - expected[:, j] * scale[:, j]) / inverse[j, j]
        work -= error[:, None] * inverse[j]
        inverse = inverse - inverse[:, j : j + 1] @ inverse[j : j + 1] / inverse[j, j]
    assert torch.equal(found.q[:, order].double(), expected)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "most"), [(4, 0.55), (8, 0.9)])
def test_better_than_rounding_each_weight(symmetric: bool, bits: int, most: float) -> None:
    weight = torch.randn(48, 256, generator=torch.Generator().manual_seed(1))
    inputs = _inputs(256, tokens=1024)
    x, held_out = inputs[:512], inputs[512:]
    statistics = _statistics(x)
    found = quantize_gptq(weight, statistics, bits=bits, symmetric=symmetric)
    plain = quantize_least_squares(
        weight, x.square().mean(0), bits=bits, group=32, symmetric=symmetric
    )
    ratio = _error(weight, found, held_out) / _error(weight, plain, held_out)
    print(f"{bits} bits, symmetric {symmetric}: {ratio:.3f} of least squares' error, most {most}")
    assert ratio < most


@pytest.mark.parametrize("symmetric", [True, False])
def test_every_sweep_lowers_the_error(symmetric: bool) -> None:
    weight = torch.randn(16, 128, generator=torch.Generator().manual_seed(1))
    statistics = _statistics(_inputs(128))
    errors = []
    for sweeps in range(4):
        found = quantize_gptq(weight, statistics, bits=4, symmetric=symmetric, sweeps=sweeps)
        off = (weight - found.dequantize())[:, statistics.order]
        errors.append(float(((off @ statistics.moments) * off).sum()))
    print("errors", errors)
    assert errors[1] < errors[0]
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(errors))


def test_rows_do_not_depend_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(12, 64, generator=torch.Generator().manual_seed(1))
    statistics = _statistics(_inputs(64))
    whole = quantize_gptq(weight, statistics, bits=4, symmetric=True)
    monkeypatch.setitem(gptq._SLAB_WEIGHTS, "cpu", 5 * 64)
    slabs = quantize_gptq(weight, statistics, bits=4, symmetric=True)
    assert float((whole.q != slabs.q).float().mean()) < 0.01  # sums may be split otherwise
    assert torch.allclose(
        whole.dequantize(), slabs.dequantize(), atol=float(whole.scale.abs().max())
    )


class _Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what would be launched on a GPU: operations that are no views; and waits for it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launches = self.waits = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.launches += not func.is_view
        self.waits += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_column_takes_few_launches_and_no_wait(symmetric: bool) -> None:
    """However many rows there are: a matrix is one slab on a GPU."""
    statistics = _statistics(_inputs(256))
    counts = []
    for rows in (8, 64):
        weight = torch.randn(rows, 256, generator=torch.Generator().manual_seed(1))
        with _Counted() as counted:
            quantize_gptq(weight, statistics, bits=4, symmetric=symmetric)
        counts.append(counted.launches)
        assert counted.waits == 0
    most = _MOST_LAUNCHES[symmetric]
    print(f"{counts[0] / 256:.1f} launches a column, at most {most}")
    assert counts[0] == counts[1] <= most * 256


def test_inputs_that_were_never_used_and_inputs_that_are_not_numbers() -> None:
    x = _inputs(64)
    x[:, 7] = 0
    weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    found = quantize_gptq(weight, _statistics(x), bits=4, symmetric=True)
    assert torch.isfinite(found.dequantize()).all()
    nothing = quantize_gptq(weight, _statistics(torch.zeros(4, 64)), bits=4, symmetric=True)
    assert float((nothing.dequantize() - weight).abs().max()) < 0.3
    x[3, 3] = torch.nan
    with pytest.raises(UserError, match="w: its inputs on the calibration text are not finite"):
        _statistics(x)
