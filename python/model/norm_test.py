"""Tests of norm, against transformers' two forms of it, where epsilon matters too."""

import pytest
import torch
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.gemma4.modeling_gemma4 import Gemma4RMSNorm

from python.model.norm import RMSNorm


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0])  # 1e-3 squared is epsilon
@pytest.mark.parametrize("width", [1, 63, 256, 5376])
def test_equals_transformers(width: int, size: float, dtype: torch.dtype) -> None:
    x = (random(1, 5, width, seed=1) * size).to(dtype)
    w = torch.round(random(width, seed=2) * 1024) / 1024  # so that w - 1 + 1 is w
    ours = RMSNorm(width, 1e-6)
    ours.load_state_dict({"weight": w})
    gemma4, gemma3 = Gemma4RMSNorm(width, 1e-6), Gemma3RMSNorm(width, 1e-6)
    gemma4.load_state_dict({"weight": w})
    gemma3.load_state_dict({"weight": w - 1.0})
    for theirs in (gemma4, gemma3):
        found, expected = ours(x), theirs(x)
        assert found.dtype == dtype
        step = 2.0**-7 if dtype == torch.bfloat16 else 1e-6
        torch.testing.assert_close(found, expected, rtol=step, atol=1e-6)


def test_without_a_weight() -> None:
    x = random(2, 3, 64, seed=3) * 1e-3
    theirs = Gemma4RMSNorm(64, 1e-6, with_scale=False)
    torch.testing.assert_close(RMSNorm(64, 1e-6, weight=False)(x), theirs(x), rtol=1e-6, atol=0.0)


def test_the_weight_is_float32_in_every_model() -> None:
    assert RMSNorm(8, 1e-6).weight is not None
    x = torch.full((1, 8), 3.0, dtype=torch.bfloat16)
    norm = RMSNorm(8, 1e-6)
    norm.load_state_dict({"weight": torch.full((8,), 1.0 + 2.0**-9)})  # bfloat16 would lose it
    assert norm.get_parameter("weight").dtype == torch.float32
    assert norm(x)[0, 0] == torch.tensor(1.0 + 2.0**-9).bfloat16()
