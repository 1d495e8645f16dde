"""Tests that quantizing on CUDA gives what it gives on the CPU.

Skipped, each by itself, where PyTorch finds no CUDA device.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.quantized import QuantizedTensor, from_torchao, to_torchao
from python.checkpoint.testing import synthetic
from python.inference.load_model import load_model
from python.model.named_configs import tiny_gemma4
from python.pack import pack
from python.pack.testing.unpack import unpack
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.calibration.input_statistics import InputStatistics, second_moments, statistics_of
from python.quant.methods.clip_search import quantize_least_squares
from python.quant.methods.gptq import quantize_gptq
from python.quant.methods.hqq import quantize_hqq, quantize_hqq_scale
from python.quant.methods.min_max import quantize_min_max
from python.quant.recipe import QuantConfig, QuantRecipe, QuantRule
from python.quant.store import store

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch finds no CUDA device"
)

# More rows than a slab of the CPU has, and an odd number of them.
_ROWS, _COLUMNS, _GROUP = 531, 512, 32
_BITS = pytest.mark.parametrize("bits", [4, 8])
_SYMMETRIC = pytest.mark.parametrize("symmetric", [True, False])


def _weight(rows: int = _ROWS, columns: int = _COLUMNS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(rows, columns, generator=generator) * 0.02
    weight[:, ::97] *= 8  # outliers
    weight[3, :_GROUP] = 0
    weight[4, :_GROUP] = 0.25
    return weight


def _same_cost(
    what: str, cpu: QuantizedTensor, cuda: QuantizedTensor, costs: tuple[float, float], most: float
) -> None:
    """Other orders of summing may choose another candidate of almost the same cost, seldom."""
    change = abs(costs[1] / costs[0] - 1)
    equal = float((cpu.q == cuda.q).float().mean())
    print(f"{what}: costs differ by {change / most:.3f} of the tolerance, {equal:.5f} levels equal")
    assert cuda.q.device.type == cuda.scale.device.type == "cpu"
    assert change <= most


def _exact_everywhere(tensor: QuantizedTensor) -> None:
    """The store and the packed layout hold exactly these values."""
    values = tensor.dequantize()
    assert torch.equal(from_torchao("w", to_torchao(tensor)).dequantize(), values)
    if tensor.bits == 4:
        packed = pack.pack("w", tensor)
        assert packed.loss == 0
        assert torch.equal(torch.from_numpy(unpack(packed)), values)


@_BITS
@_SYMMETRIC
@pytest.mark.parametrize("group", [_GROUP, _COLUMNS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_min_max_is_the_same_to_the_last_bit(
    bits: int, symmetric: bool, group: int, dtype: torch.dtype
) -> None:
    settings = {"bits": bits, "group": group, "symmetric": symmetric}
    weight = _weight().to(dtype)
    cpu, cuda = (
        quantize_min_max(weight, device=device, **settings)  # type: ignore[arg-type]
        for device in ("cpu", "cuda")
    )
    assert torch.equal(cpu.scale, cuda.scale)
    assert torch.equal(cpu.q, cuda.q)
    assert (cpu.offset is None) == (cuda.offset is None) == symmetric
    if cpu.offset is not None and cuda.offset is not None:
        assert torch.equal(cpu.offset, cuda.offset)


@_BITS
def test_hqq_costs_the_same(bits: int) -> None:
    weight = _weight()
    cpu, cuda = (
        quantize_hqq(weight, bits=bits, group=_GROUP, device=device) for device in ("cpu", "cuda")
    )
    costs = [float((each.dequantize() - weight).abs().pow(0.7).sum()) for each in (cpu, cuda)]
    _same_cost(f"hqq {bits}", cpu, cuda, (costs[0], costs[1]), 1e-3)
    _exact_everywhere(cuda)


@_BITS
def test_hqq_scale_costs_the_same(bits: int) -> None:
    weight = _weight()
    cpu, cuda = (
        quantize_hqq_scale(weight, bits=bits, group=_GROUP, device=device)
        for device in ("cpu", "cuda")
    )
    costs = [float((each.dequantize() - weight).square().sum()) for each in (cpu, cuda)]
    _same_cost(f"hqq_scale {bits}", cpu, cuda, (costs[0], costs[1]), 1e-3)
    _exact_everywhere(cuda)


@_BITS
@_SYMMETRIC
def test_least_squares_costs_the_same(bits: int, symmetric: bool) -> None:
    weight = _weight()
    importance = torch.rand(_COLUMNS, generator=torch.Generator().manual_seed(2))
    settings = {"bits": bits, "group": _GROUP, "symmetric": symmetric}
    cpu, cuda = (
        quantize_least_squares(weight, importance.to(device), device=device, **settings)  # type: ignore[arg-type]
        for device in ("cpu", "cuda")
    )
    costs = [
        float(((each.dequantize() - weight).square() * importance).sum()) for each in (cpu, cuda)
    ]
    _same_cost(f"least_squares {bits}", cpu, cuda, (costs[0], costs[1]), 1e-3)
    _exact_everywhere(cuda)


def _statistics(device: str) -> InputStatistics:
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(_COLUMNS, _COLUMNS, generator=generator) / _COLUMNS**0.5
    slabs = [torch.randn(256, _COLUMNS, generator=generator) @ mixing for _ in range(4)]
    moments = second_moments((slab.to(device) for slab in slabs), _COLUMNS)
    return statistics_of("w", moments, _GROUP)


def test_statistics_are_the_same() -> None:
    """inverse(H) = U^T U undoes H, on both."""
    cpu, cuda = _statistics("cpu"), _statistics("cuda")
    assert torch.equal(cpu.order, cuda.order.cpu())
    change = float((cuda.moments.cpu() - cpu.moments).norm() / cpu.moments.norm())
    print(f"moments differ by {change / 1e-5:.3f} of the tolerance")
    assert change <= 1e-5  # float32 sums of 1024 products
    factor = cuda.inverse_factor.cpu().double()
    identity = factor @ cuda.moments.cpu().double() @ factor.t()
    error = float((identity - torch.eye(_COLUMNS, dtype=torch.float64)).abs().max())
    print(f"U H U^T is off the identity by {error / 1e-3:.3f} of the tolerance")
    assert error <= 1e-3  # the factor is rounded to float32, H's condition is about 1e4


@_SYMMETRIC
@_BITS
def test_gptq_costs_the_same(bits: int, symmetric: bool) -> None:
    weight, results = _weight(rows=67), []
    for device in ("cpu", "cuda"):
        results.append(
            quantize_gptq(weight.to(device), _statistics(device), bits=bits, symmetric=symmetric)
        )
    h, order = _statistics("cpu").moments, _statistics("cpu").order
    costs = []
    for each in results:
        missing = (each.dequantize() - weight)[:, order]
        costs.append(float(((missing @ h) * missing).sum()))
    # A tie that tips over changes what follows in its row, in both directions alike.
    _same_cost(f"gptq {bits}", results[0], results[1], (costs[0], costs[1]), 1e-3)
    _exact_everywhere(results[1])


@pytest.mark.parametrize("method", ["min_max", "hqq_scale", "gptq", "least_squares"])
def test_a_whole_store_is_as_good(tmp_path: Path, method: str) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 32, "full_head_dim": 64}
    synthetic.write_checkpoint(
        tmp_path / "hf", tiny_gemma4(num_layers=2, **sizes), dtype=torch.float32
    )
    tokens = torch.randint(40, (32, 48), generator=torch.Generator().manual_seed(1))
    text = CalibrationText(tokens=tokens, sha256="0" * 64)
    config = QuantConfig(bits=4, group=32, symmetric=True, method=method)
    embedding = QuantConfig(bits=8, group=None, symmetric=True, method="min_max")
    rules = QuantRecipe(
        name="test",
        rules=(
            QuantRule(pattern=r"embed_tokens\.weight", config=embedding),
            QuantRule(pattern=".*", config=config),
        ),
    )
    given = text if rules.needs_calibration() else None
    for device in ("cpu", "cuda"):
        settings = store.Settings(progress="none", device=device)
        with open_checkpoint(tmp_path / "hf") as checkpoint:
            assert isinstance(checkpoint, HuggingFaceCheckpoint)
            store.quantize_checkpoint(checkpoint, rules, tmp_path / device, settings, given)
    reference, cpu, cuda = (_outputs(tmp_path / name, tokens) for name in ("hf", "cpu", "cuda"))
    errors = [float((each - reference).norm()) for each in (cpu, cuda)]
    change = abs(errors[1] / errors[0] - 1)
    most = 0.05 if rules.needs_calibration() else 1e-3
    print(f"{method}: errors differ by {change / most:.3f} of the tolerance")
    assert change <= most


def _outputs(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    with open_checkpoint(folder) as checkpoint:
        model = load_model(
            checkpoint,
            max_context=48,
            max_chunk=48,
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
    return torch.cat([model.hidden(row[None], torch.tensor([0])) for row in tokens[:8]])
