"""Tests of hqq: better than min-max, no worse than torchao, and exact in its stored form."""

import pytest
import torch
from torchao.quantization import quant_primitives

from python.checkpoint.quantized import QuantizedTensor
from python.quant.methods.hqq import Shrinkage, quantize_hqq, quantize_hqq_scale
from python.quant.methods.min_max import quantize_min_max


def _weight(rows: int = 128, columns: int = 256) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.distributions.StudentT(4.0).sample((rows, columns)) * 0.02


def _error(tensor: QuantizedTensor, weight: torch.Tensor, p: float = 2.0) -> float:
    return float((tensor.dequantize() - weight).abs().pow(p).mean())


def test_hqq_beats_min_max_and_torchao() -> None:
    weight = _weight()
    q, scale, zero, _ = quant_primitives._choose_qparams_and_quantize_affine_hqq(
        weight,
        nbits=4,
        group_size=32,
        axis=1,
        compute_dtype=torch.float32,
        device="cpu",
        raw_output=True,
    )
    groups = q.float().reshape(*scale.shape, 32)
    theirs = ((groups - zero.unsqueeze(-1)) * scale.unsqueeze(-1)).reshape(weight.shape)
    for p in (0.7, 2.0):
        ours = _error(quantize_hqq(weight, bits=4, group=32), weight, p)
        plain = _error(quantize_min_max(weight, bits=4, group=32, symmetric=False), weight, p)
        torchao = float((theirs - weight).abs().pow(p).mean())
        print(f"p = {p}: min-max {plain:.3e}, torchao {torchao:.3e}, ours {ours:.3e}")
        assert ours < plain
        assert ours < torchao


def test_scale_alone_beats_min_max_and_torchao() -> None:
    weight = _weight()
    q, scale = quant_primitives._choose_qparams_and_quantize_scale_only_hqq(weight, [1, 32], -8, 7)
    theirs = (q.reshape(*scale.shape, 32) * scale.unsqueeze(-1)).reshape(weight.shape)
    ours = _error(quantize_hqq_scale(weight, bits=4, group=32), weight)
    assert ours < _error(quantize_min_max(weight, bits=4, group=32, symmetric=True), weight)
    assert ours < float((theirs - weight).square().mean())


@pytest.mark.parametrize("p", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("group", [32, 128, 256])
@pytest.mark.parametrize("bits", [4, 8])
def test_each_group_is_no_worse_under_its_norm(p: float, group: int, bits: int) -> None:
    weight = _weight(16)
    ours = quantize_hqq(weight, bits=bits, group=group, shrinkage=Shrinkage(p=p))
    plain = quantize_min_max(weight, bits=bits, group=group, symmetric=False)

    def norms(tensor: QuantizedTensor) -> torch.Tensor:
        return (tensor.dequantize() - weight).abs().pow(p).reshape(-1, group).sum(dim=1)

    # Rounding to the stored types comes after the choice and may cost a little; with 8 bits the
    # zero point is an integer, so a group's gain can be lost, but not that of the whole.
    if bits == 4:
        assert (norms(ours) <= norms(plain) * 1.1).all()
        assert norms(ours).sum() < norms(plain).sum()
    else:
        assert norms(ours).sum() < norms(plain).sum() * 1.01


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_equal_weights(value: float) -> None:
    weight = torch.full((2, 64), value)
    assert torch.allclose(quantize_hqq(weight, bits=4, group=32).dequantize(), weight, rtol=2**-10)
    assert torch.allclose(
        quantize_hqq_scale(weight, bits=4, group=32).dequantize(), weight, rtol=2**-10
    )


def test_offset_and_minimum_are_both_float16() -> None:
    tensor = quantize_hqq(_weight(), bits=4, group=32)
    assert tensor.offset is not None
    minimum = tensor.offset.double() - 8 * tensor.scale.double()
    assert torch.equal(minimum.half().double(), minimum)


def test_a_group_does_not_depend_on_those_beside_it() -> None:
    """Slabs differ in size from device to device; what they hold must not matter."""
    weight = _weight(64)
    whole = quantize_hqq(weight, bits=4, group=32)
    for row in range(64):
        alone = quantize_hqq(weight[row : row + 1], bits=4, group=32)
        assert torch.equal(alone.dequantize(), whole.dequantize(row, row + 1))
