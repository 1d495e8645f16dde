"""Tests of least-squares scales: never worse than min-max, and exact where they can be."""

import pytest
import torch

from python.checkpoint.quantized import QuantizedTensor
from python.quant.methods.clip_search import quantize_least_squares
from python.quant.methods.min_max import quantize_min_max


def _weights(seed: int, rows: int = 24, columns: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Heavy-tailed weights, and columns of very different importance."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    weight *= torch.randn(rows, columns, generator=generator).abs()
    importance = torch.rand(columns, generator=generator).square() + 0.01
    return weight, importance


def _error(weight: torch.Tensor, importance: torch.Tensor, quantized: QuantizedTensor) -> float:
    return float(((weight - quantized.dequantize()).square() * importance).sum())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "gain"), [(4, 0.9), (8, 1.0)])
def test_never_worse_than_min_max_under_its_own_measure(
    symmetric: bool, bits: int, gain: float
) -> None:
    for seed in range(4):
        weight, importance = _weights(seed)
        found = quantize_least_squares(weight, importance, bits=bits, group=32, symmetric=symmetric)
        plain = quantize_min_max(weight, bits=bits, group=32, symmetric=symmetric)
        ratio = _error(weight, importance, found) / _error(weight, importance, plain)
        print(f"{bits} bits, symmetric {symmetric}: {ratio:.3f} of min-max's error, at most {gain}")
        assert ratio <= gain


def test_importance_decides_what_is_clipped() -> None:
    weight = torch.linspace(-0.5, 0.5, 32)[None].clone()
    weight[0, 5] = 4.0
    outlier = torch.full((32,), 1e-6)
    outlier[5] = 1.0
    kept = quantize_least_squares(weight, outlier, bits=4, group=32, symmetric=True).dequantize()
    assert abs(float(kept[0, 5]) - 4.0) < 0.01
    rest = torch.ones(32)
    rest[5] = 1e-6
    clipped = quantize_least_squares(weight, rest, bits=4, group=32, symmetric=True).dequantize()
    others = torch.arange(32) != 5
    assert float((clipped - weight)[0, others].abs().max()) < float(
        (kept - weight)[0, others].abs().max()
    )


@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_on_a_grid_stay(symmetric: bool) -> None:
    q = torch.randint(-8, 8, (8, 64), generator=torch.Generator().manual_seed(3)).float()
    q[:, ::32], q[:, 1::32] = -8, 7
    weight = q * 0.25
    found = quantize_least_squares(weight, torch.ones(64), bits=4, group=32, symmetric=symmetric)
    assert torch.equal(found.dequantize(), weight)
