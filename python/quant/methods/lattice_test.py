"""Tests of the lattice search: weights trained for 4 bits come back, by whatever rule of scales."""

from collections.abc import Callable

import pytest
import torch

from python.quant.methods import slabs
from python.quant.methods.lattice import exact_groups, quantize_lattice
from python.quant.methods.min_max import quantize_min_max

_GROUP = 32


def _weights(seed: int, rows: int = 96, columns: int = 512) -> torch.Tensor:
    """Groups [rows, groups, group] of heavy-tailed weights."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    weight *= torch.randn(rows, columns, generator=generator).abs()
    return (weight * 0.02).reshape(rows, -1, _GROUP)


def _extreme_on_8(groups: torch.Tensor) -> torch.Tensor:
    low, high = torch.aminmax(groups, dim=-1)
    return torch.where(high > -low, high, low) / -8


def _free(groups: torch.Tensor) -> torch.Tensor:
    """A scale that was learned: anything from a clipped to a loose one."""
    generator = torch.Generator().manual_seed(9)
    loose = 0.4 + 1.4 * torch.rand(groups.shape[:-1], generator=generator)
    return groups.abs().amax(dim=-1) / 7 * loose


_RULES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "extreme / -8": _extreme_on_8,
    "absmax / 7": lambda groups: groups.abs().amax(dim=-1) / 7,
    "absmax / 7.5": lambda groups: groups.abs().amax(dim=-1) / 7.5,
    "free": _free,
}


def _trained(rule: str, scale_type: torch.dtype, weight_type: torch.dtype) -> torch.Tensor:
    """Weights [rows, columns] as training for 4 bits by `rule` leaves them."""
    groups = _weights(1)
    scale = _RULES[rule](groups).to(scale_type).float().unsqueeze(-1)
    q = torch.round(groups / scale).clamp(-8, 7)
    return (q * scale).to(weight_type).reshape(groups.shape[0], -1)


@pytest.mark.parametrize("rule", list(_RULES))
@pytest.mark.parametrize("scale_type", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("weight_type", [torch.bfloat16, torch.float16, torch.float32])
def test_every_lattice_comes_back(
    rule: str, scale_type: torch.dtype, weight_type: torch.dtype
) -> None:
    weight = _trained(rule, scale_type, weight_type)
    found = quantize_lattice(weight, group=_GROUP)
    assert exact_groups(weight, found) == weight.numel() // _GROUP
    assert torch.equal(found.dequantize().to(weight_type), weight)


def test_min_max_alone_loses_what_the_search_finds() -> None:
    weight = _trained("free", torch.bfloat16, torch.bfloat16)
    plain = quantize_min_max(weight, bits=4, group=_GROUP, symmetric=True)
    share = exact_groups(weight, plain) / (weight.numel() // _GROUP)
    print(f"min-max gives {share:.1%} of the groups back, the search all")
    assert share < 0.5


@pytest.mark.parametrize("rule", list(_RULES))
def test_the_values_before_their_rounding_come_back_too(rule: str) -> None:
    """With scales of bfloat16: level times scale is what training computed with."""
    groups = _weights(1)
    scale = _RULES[rule](groups).to(torch.bfloat16).float().unsqueeze(-1)
    values = torch.round(groups / scale).clamp(-8, 7) * scale
    found = quantize_lattice(_trained(rule, torch.bfloat16, torch.bfloat16), group=_GROUP)
    same = (found.dequantize().reshape(values.shape) == values).all(dim=-1).float().mean()
    print(f"{rule}: {same:.2%} of the groups have the trained values, at least 99 % must")
    assert same > 0.99  # few large weights leave room for a neighbouring scale


def test_weights_on_no_lattice_are_no_worse_than_min_max() -> None:
    weight = _weights(2).reshape(96, -1).to(torch.bfloat16)
    found = quantize_lattice(weight, group=_GROUP)
    plain = quantize_min_max(weight, bits=4, group=_GROUP, symmetric=True)
    assert exact_groups(weight, found) < 0.01 * weight.numel() / _GROUP
    errors = [
        float((tensor.dequantize() - weight.float()).square().sum()) for tensor in (found, plain)
    ]
    print(f"square error {errors[0] / errors[1]:.3f} of min-max's")
    assert errors[0] <= errors[1]


def test_zeros_single_weights_and_a_mixed_matrix() -> None:
    weight = _trained("absmax / 7", torch.bfloat16, torch.bfloat16)[:4].clone()
    weight[0] = 0
    weight[1] = 0
    weight[1, 5] = -0.3
    weight[2, :_GROUP] = torch.randn(_GROUP, generator=torch.Generator().manual_seed(3))
    found = quantize_lattice(weight, group=_GROUP)
    assert exact_groups(weight, found) == weight.numel() // _GROUP - 1
    assert torch.equal(found.dequantize()[:2].to(weight.dtype), weight[:2])


def test_slabs_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = _trained("free", torch.float16, torch.bfloat16)
    whole = quantize_lattice(weight, group=_GROUP)
    monkeypatch.setitem(slabs.SLAB_WEIGHTS, "cpu", 700)
    in_parts = quantize_lattice(weight, group=_GROUP)
    assert torch.equal(whole.q, in_parts.q) and torch.equal(whole.scale, in_parts.scale)
