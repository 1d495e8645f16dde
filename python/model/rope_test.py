"""Tests of rope, against transformers' tables and rotation."""

import dataclasses

import pytest
import torch
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.gemma3.modeling_gemma3 import apply_rotary_pos_emb as rotate_both
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRotaryEmbedding

from python.model.gemma_config import AttentionConfig, ConfigError
from python.model.named_configs import gemma4_31b, tiny_gemma3, tiny_gemma4
from python.model.rope import Rope, check_frequency_factors, rope_frequencies, rotate
from python.model.testing.hf_reference import hf_model


@pytest.mark.parametrize("kind", ["sliding", "full"])
def test_gemma4_tables_equal_transformers(kind: str) -> None:
    real = gemma4_31b()
    config = dataclasses.replace(
        tiny_gemma4(num_layers=2),
        sliding=real.sliding,
        full=real.full,
        num_heads=16,
        max_positions=real.max_positions,
    )
    theirs = Gemma4TextRotaryEmbedding(hf_model(config, 0).config)
    _compare(getattr(config, kind), theirs, f"{kind}_attention")


@pytest.mark.parametrize("kind", ["sliding", "full"])
def test_gemma3_tables_equal_transformers_scaled_linearly_too(kind: str) -> None:
    config = tiny_gemma3(max_positions=131072)
    full = dataclasses.replace(config.full, rope_type="linear", rope_factor=8.0)
    config = dataclasses.replace(config, full=full)
    theirs = Gemma3RotaryEmbedding(hf_model(config, 0).config)
    _compare(getattr(config, kind), theirs, f"{kind}_attention")


def _compare(attention: AttentionConfig, theirs: torch.nn.Module, layer_type: str) -> None:
    positions = torch.tensor([0, 1, 2, 1023, 1024, 100_003, 262_143])
    cosines, sines = theirs(torch.zeros(1), positions[None], layer_type)
    ours = Rope(attention)(positions)
    half = attention.head_dim // 2
    for found, expected in zip(ours, (cosines, sines), strict=True):
        assert torch.equal(found[:, 0], expected[0, :, :half])
        assert torch.equal(found[:, 0], expected[0, :, half:])


def test_the_full_layers_of_the_31b_turn_64_of_256_pairs() -> None:
    frequencies = rope_frequencies(gemma4_31b().full)
    assert frequencies.shape == (256,)
    assert frequencies[64:].abs().max() == 0.0
    expected = 1e6 ** (-2.0 * torch.arange(64, dtype=torch.float64) / 512)  # divisor head_dim
    torch.testing.assert_close(frequencies[:64].double(), expected, rtol=1e-6, atol=0.0)


def test_rotation_equals_transformers() -> None:
    x = torch.randn(1, 5, 4, 64, generator=torch.Generator().manual_seed(0))
    cosines, sines = Rope(tiny_gemma3().sliding)(torch.arange(7, 12))
    doubled = (torch.cat((t, t), dim=-1)[None, :, 0] for t in (cosines, sines))
    expected, _ = rotate_both(x, x, *doubled, unsqueeze_dim=2)
    assert torch.equal(rotate(x, cosines, sines), expected)


def test_rotation_computes_bfloat16_in_float32() -> None:
    x = torch.randn(1, 5, 4, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    tables = Rope(tiny_gemma3().sliding)(torch.arange(5))
    assert torch.equal(rotate(x, *tables), rotate(x.float(), *tables).bfloat16())


def test_frequency_factors_of_a_gguf_are_checked() -> None:
    full = gemma4_31b().full
    check_frequency_factors(full, [1.0] * 64 + [1e30] * 192)
    with pytest.raises(ConfigError, match=r"factor 64 is 1\.0, expected at least 1e29"):
        check_frequency_factors(full, [1.0] * 128 + [1e30] * 128)
    with pytest.raises(ConfigError, match=r"factor 63 is 1e\+30, expected 1"):
        check_frequency_factors(full, [1.0] * 63 + [1e30] * 193)
    with pytest.raises(ConfigError, match="has 255 factors, head_dim 512 needs 256"):
        check_frequency_factors(full, [1.0] * 255)
