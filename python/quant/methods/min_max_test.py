"""Tests of min_max."""

import gguf
import numpy as np
import pytest
import torch

from python.quant.methods import slabs
from python.quant.methods.min_max import quantize_min_max


def _weight(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Heavy tails, like a trained matrix: Student's t with 4 degrees of freedom."""
    torch.manual_seed(seed)
    return torch.distributions.StudentT(4.0).sample((rows, columns)) * 0.02


def _relative_error(weight: torch.Tensor, **config: object) -> float:
    tensor = quantize_min_max(weight, **config)  # type: ignore[arg-type]
    return float((tensor.dequantize() - weight).norm() / weight.norm())


@pytest.mark.parametrize("group", [32, 64, 128, 512])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_no_weight_is_off_by_more_than_a_step(bits: int, group: int, symmetric: bool) -> None:
    weight = _weight(65, 512)
    tensor = quantize_min_max(weight, bits=bits, group=group, symmetric=symmetric)
    step = tensor.scale.float().abs().repeat_interleave(group, dim=1)
    error = (tensor.dequantize() - weight).abs() / step
    # Half a step, and a whole one where 4 symmetric bits lack the level +8.
    limit = 1.01 if bits == 4 and symmetric else 0.51 if bits == 4 else 0.6
    print(f"largest error {error.max():.3f} steps, {error.max() / limit:.0%} of the limit")
    assert error.max() <= limit


def test_symmetric_four_bits_are_ggmls_q4_0() -> None:
    weight = _weight(64, 256)
    tensor = quantize_min_max(weight, bits=4, group=32, symmetric=True)
    blocks = gguf.quantize(weight.numpy(), gguf.GGMLQuantizationType.Q4_0)
    theirs = gguf.dequantize(blocks, gguf.GGMLQuantizationType.Q4_0)
    scales = np.ascontiguousarray(blocks.reshape(64, 8, 18)[:, :, :2]).view(np.float16)[..., 0]
    assert np.array_equal(tensor.scale.numpy(), scales)
    # GGML rounds with the scale before it is float16; rounding to the stored one is never worse.
    assert np.linalg.norm(tensor.dequantize().numpy() - weight.numpy()) <= np.linalg.norm(
        theirs - weight.numpy()
    )


def test_error_on_heavy_tails() -> None:
    weight = _weight(512, 1024)
    errors = {
        "int4 symmetric": _relative_error(weight, bits=4, group=32, symmetric=True),
        "int4 asymmetric": _relative_error(weight, bits=4, group=32, symmetric=False),
        "int8": _relative_error(weight, bits=8, group=32, symmetric=True),
    }
    limits = {"int4 symmetric": 0.125, "int4 asymmetric": 0.100, "int8": 0.008}
    for name, error in errors.items():
        print(f"{name}: {error:.4f}, {error / limits[name]:.0%} of the limit")
        assert error < limits[name]


@pytest.mark.parametrize("magnitude", [1e-6, 1e-4, 1e-3, 0.02, 1.0, 500.0])
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, -40.0])
@pytest.mark.parametrize("group", [32, 256])
def test_offset_and_minimum_are_both_representable(
    magnitude: float, shift: float, group: int
) -> None:
    weight = (_weight(16, 256) * 50 + shift) * magnitude
    tensor = quantize_min_max(weight, bits=4, group=group, symmetric=False)
    assert tensor.offset is not None
    minimum = tensor.offset.double() - 8 * tensor.scale.double()
    assert torch.equal(minimum.to(tensor.scale.dtype).double(), minimum)
    assert torch.isfinite(tensor.dequantize()).all()


@pytest.mark.parametrize("value", [0.0, 0.3, -0.7, 1e-8])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_equal_weights(value: float, bits: int, symmetric: bool) -> None:
    weight = torch.full((2, 64), value)
    tensor = quantize_min_max(weight, bits=bits, group=32, symmetric=symmetric)
    assert torch.allclose(tensor.dequantize(), weight, rtol=2**-10, atol=1e-7)


def test_slabs_and_input_types_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = _weight(37, 128).to(torch.bfloat16)
    whole = quantize_min_max(weight.float(), bits=4, group=32, symmetric=False)
    monkeypatch.setitem(slabs.SLAB_WEIGHTS, "cpu", 500)
    in_parts = quantize_min_max(weight, bits=4, group=32, symmetric=False)
    assert torch.equal(whole.q, in_parts.q)
    assert torch.equal(whole.scale, in_parts.scale)
    assert whole.offset is not None and in_parts.offset is not None
    assert torch.equal(whole.offset, in_parts.offset)
