"""Tests of lattice_share."""

import dataclasses

import torch

from python.quant.lattice_share import LatticeShare
from python.quant.methods.min_max import quantize_min_max


def test_what_is_said() -> None:
    share = LatticeShare()
    assert share.sentence("qat") is None
    quantized = quantize_min_max(torch.randn(100, 96), bits=4, group=32, symmetric=True)
    share.add(quantized)  # min-max does not count
    share.add(None)
    assert share.sentence("qat") is None
    share.add(dataclasses.replace(quantized, exact_groups=300))
    assert share.sentence("qat") == "recipe qat reproduces 100 % of 300 groups of weights exactly"
    share.add(dataclasses.replace(quantized, exact_groups=299))
    assert share.sentence("qat") == "recipe qat reproduces 99.83 % of 600 groups of weights exactly"
    share.add(dataclasses.replace(quantized, exact_groups=0))
    assert share.sentence("qat") == (
        "recipe qat reproduces only 66.55 % of 900 groups of weights exactly: this is no checkpoint"
        " that was trained for 4 bits in these groups (use recipe calibrated, or default without a"
        " text)"
    )
