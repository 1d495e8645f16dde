"""Tests of quantize and gguf_import: one weight, from what is stored to what the recipe wants."""

import gguf
import numpy as np
import pytest
import torch

from python.checkpoint import ggml_types
from python.checkpoint.quantized import QuantizedTensor
from python.checkpoint.tensor import BlockTensor, DenseTensor
from python.console.errors import UserError
from python.pack import pack
from python.pack.testing import unpack
from python.quant import gguf_import, quantize, recipe
from python.quant.recipe import QuantConfig

_NAME = "layers.0.mlp.up_proj.weight"


def _config(
    bits: int = 4, symmetric: bool = True, group: int | None = 32, method: str = "min_max"
) -> QuantConfig:
    return QuantConfig(bits=bits, group=group, symmetric=symmetric, method=method)


def _blocks(name: str) -> BlockTensor:
    weight = np.random.default_rng(0).standard_normal((8, 128), dtype=np.float32)
    data = gguf.quantize(weight, gguf.GGMLQuantizationType[name])
    return BlockTensor(type=ggml_types.BY_NAME[name], columns=128, blocks=data)


@pytest.mark.parametrize(
    "method", [name for name in recipe.METHODS if name not in recipe.CALIBRATED_METHODS]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_method_and_input_type(method: str, dtype: torch.dtype) -> None:
    weight = torch.randn(16, 128, generator=torch.Generator().manual_seed(0)).to(dtype)
    tensor = quantize.quantize_weight(
        _NAME, weight, _config(symmetric=method != "hqq", method=method)
    )
    error = (tensor.dequantize() - weight.float()).norm() / weight.float().norm()
    assert error < 0.12


@pytest.mark.parametrize(("name", "bits", "symmetric"), [("Q4_0", 4, True), ("Q8_0", 8, True)])
def test_blocks_of_the_wanted_form_keep_their_values(name: str, bits: int, symmetric: bool) -> None:
    tensor = _blocks(name)
    quantized = quantize.quantize_stored(_NAME, tensor, _config(bits, symmetric))
    exact = gguf.dequantize(tensor.blocks, gguf.GGMLQuantizationType[name])
    assert np.array_equal(quantized.dequantize().numpy(), exact)
    assert np.array_equal(pack.pack(_NAME, quantized).data, pack.pack(_NAME, tensor).data)


def test_the_qat_recipe_keeps_q4_0_to_the_last_bit() -> None:
    prepared = quantize.prepare(_NAME, _blocks("Q4_0"), recipe.recipe("qat", 4))
    assert isinstance(prepared, QuantizedTensor)
    exact = gguf.dequantize(_blocks("Q4_0").blocks, gguf.GGMLQuantizationType.Q4_0)
    assert np.array_equal(unpack.unpack(pack.pack(_NAME, prepared)), exact)


def test_other_forms_are_not_imported_but_quantized() -> None:
    assert gguf_import.import_exactly(_blocks("Q4_0"), _config(8)) is None
    assert gguf_import.import_exactly(_blocks("Q4_0"), _config(4, group=64)) is None
    assert gguf_import.import_exactly(_blocks("Q5_0"), _config(4)) is None
    quantized = quantize.quantize_stored(_NAME, _blocks("Q5_0"), _config(4))
    exact = gguf.dequantize(_blocks("Q5_0").blocks, gguf.GGMLQuantizationType.Q5_0)
    assert np.linalg.norm(quantized.dequantize().numpy() - exact) / np.linalg.norm(exact) < 0.12


def test_q4_1_is_imported_where_float16_can_hold_the_offset() -> None:
    block = np.zeros((1, 20), dtype=np.uint8)
    block[0, :4] = np.frombuffer(np.array([0.5, -3.0], dtype="<f2").tobytes(), dtype=np.uint8)
    block[0, 4:] = np.arange(16)
    tensor = BlockTensor(type=ggml_types.Q4_1, columns=32, blocks=block)
    imported = gguf_import.import_exactly(tensor, _config(4, symmetric=False))
    assert imported is not None
    exact = gguf.dequantize(block, gguf.GGMLQuantizationType.Q4_1)
    assert np.array_equal(imported.dequantize().numpy(), exact)


def test_what_a_recipe_keeps_stays_what_it_is() -> None:
    norm = DenseTensor(values=torch.randn(64))
    assert (
        quantize.prepare("layers.0.input_layernorm.weight", norm, recipe.recipe("default", 4))
        is norm
    )
    matrix = DenseTensor(values=torch.randn(8, 64))
    assert quantize.prepare(_NAME, matrix, recipe.recipe("none", 4)) is matrix


@pytest.mark.parametrize(
    ("weight", "problem"),
    [
        (
            torch.tensor([[0.0] * 63 + [torch.nan]]),
            f"{_NAME}: the weight at row 0, column 63 is not finite",
        ),
        (torch.tensor([[torch.inf] + [0.0] * 63]), "row 0, column 0 is not finite"),
        (torch.full((1, 64), 1e7), r"a weight of magnitude 1e\+07 needs a scale beyond float16"),
        (torch.zeros(64), r"torch.float32 of shape \[64\] is no matrix to quantize"),
        (torch.zeros(2, 48), "group 32 does not divide 48"),
        (torch.zeros(2, 64, dtype=torch.int8), "torch.int8 of shape"),
    ],
)
def test_refused(weight: torch.Tensor, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        quantize.quantize_weight(_NAME, weight, _config())


def test_one_scale_a_row() -> None:
    tensor = quantize.quantize_weight(
        "embed_tokens.weight", torch.randn(4, 96) * 1e6, _config(8, group=None)
    )
    assert (tensor.group, tensor.scale.shape, tensor.scale.dtype) == (96, (4, 1), torch.float32)
