"""Tests of the streams: what is wanted of a matrix, and the order that they ask for.

What calibration makes of whole models is tested in calibrated_store_test.py.
"""

import pytest
import torch

from python.model.named_configs import tiny_gemma3
from python.quant.calibration import calibration
from python.quant.calibration.calibration import Calibration
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.calibration.input_statistics import DAMPING, second_moments, statistics_of

_COLUMNS = 64


@pytest.mark.parametrize(("sequences", "share"), [(4, 4 / 24), (80, 0.8)])
def test_what_is_wanted_is_a_share_of_the_best_fit(sequences: int, share: float) -> None:
    """Where other weights give the wanted outputs, the fit finds them but for the damping.

    The share of the way to them is tokens / (tokens + 20 columns).
    """
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(sequences, _COLUMNS, _COLUMNS, generator=generator)
    weight, other = torch.randn(2, 8, _COLUMNS, generator=generator)
    moments = second_moments(inputs, _COLUMNS)
    damped = moments + DAMPING * moments.diagonal().mean() * torch.eye(_COLUMNS)
    expected = weight + share * (other - weight) @ moments @ torch.linalg.inv(damped)
    found = calibration._towards(
        weight, inputs @ other.t(), inputs, statistics_of("w", moments, 32)
    )
    error = float((found - expected).norm() / (other - weight).norm())
    print(f"{error:.1e} of the way off, {error / 1e-4:.0%} of the tolerance")
    assert error < 1e-4
    assert float((found - weight).norm() / (other - weight).norm()) > 0.85 * share


def test_outputs_as_they_are_leave_the_weights_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, _COLUMNS, _COLUMNS, generator=generator)
    weight = torch.randn(8, _COLUMNS, generator=generator)
    statistics = statistics_of("w", second_moments(inputs, _COLUMNS), 32)
    found = calibration._towards(weight, inputs @ weight.t(), inputs, statistics)
    assert float((found - weight).abs().max()) < 1e-5


def test_weights_out_of_order_are_an_error() -> None:
    config = tiny_gemma3(num_layers=2)
    text = CalibrationText(tokens=torch.zeros((1, 4), dtype=torch.int64), sha256="0")
    streams = Calibration(config, text, lambda name: torch.ones(config.hidden_size))
    weight = torch.zeros(config.num_heads * config.sliding.head_dim, config.hidden_size)
    with pytest.raises(ValueError, match=r"layers.0.self_attn.q_proj.weight arrived after"):
        streams.follow("layers.0.self_attn.q_proj.weight", weight, None)  # before the embedding
    streams.follow("embed_tokens.weight", torch.ones(config.vocab_size, config.hidden_size), None)
    with pytest.raises(ValueError, match=r"layers.1.self_attn.q_proj.weight arrived after"):
        streams.follow("layers.1.self_attn.q_proj.weight", weight, None)
