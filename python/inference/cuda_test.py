"""Tests of the eager model on CUDA: tiles, tinygemm, dequantized products, whole models.

Skipped, each by itself, where PyTorch finds no CUDA device.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torchao.quantization import Int4TilePackedTo4dTensor

from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.quantized import QuantizedTensor
from python.checkpoint.testing import synthetic
from python.export.testing.make_tiny_checkpoint import tiny_config
from python.inference import packed_weight
from python.inference.generate import GenerationOptions, compile_decode, generate, score
from python.inference.load_model import load_model
from python.inference.packed_weight import RowsInt4, RowsInt8, TilePackedInt4
from python.inference.quantized_linear import TINYGEMM_TOKENS, QuantizedLinear
from python.model.sampler import Sampling
from python.model.transformer import GemmaModel
from python.quant import recipe
from python.quant.methods.min_max import quantize_min_max
from python.quant.store import store

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch finds no CUDA device"
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BF16 = 2.0**-8  # bfloat16 rounds by at most this share
# One k tile pair, tiles of 2, 4 and 8, and the widths of gemma4_31b.
SHAPES = [(8, 32), (24, 96), (16, 192), (64, 1024), (128, 5376), (8, 21504)]
TOKENS = [1, 8, 9, TINYGEMM_TOKENS, TINYGEMM_TOKENS + 1, 65]
PROMPT = [2, *range(20, 480, 23)]


def quantized(
    rows: int, columns: int, bits: int = 4, symmetric: bool = False, group: int | None = 32
) -> QuantizedTensor:
    generator = torch.Generator().manual_seed(rows + columns)
    weight = torch.randn(rows, columns, generator=generator) * 0.02 + 0.005
    return quantize_min_max(weight, bits=bits, group=group or columns, symmetric=symmetric)


def inputs(tokens: int, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(tokens)
    return torch.randn(tokens, columns, generator=generator).to(torch.bfloat16)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tiles_keep_every_value(shape: tuple[int, int], symmetric: bool) -> None:
    tensor = quantized(*shape, symmetric=symmetric)
    weight = packed_weight.pack(tensor, torch.bfloat16, CUDA)
    assert isinstance(weight, TilePackedInt4)
    assert torch.equal(weight.levels(slice(0, shape[0])).cpu(), tensor.q)
    for dtype in (torch.float32, torch.bfloat16):
        plain = tensor.dequantize().to(dtype)
        assert torch.equal(weight.dequantize(slice(0, shape[0]), dtype).cpu(), plain)
        half = slice(shape[0] // 16 * 8, shape[0])
        assert torch.equal(weight.dequantize(half, dtype).cpu(), plain[half])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tokens", [1, 8, 9, 65])
def test_tinygemm_multiplies_with_scales_in_bfloat16(
    shape: tuple[int, int], symmetric: bool, tokens: int
) -> None:
    """Against its own arithmetic, w = bfloat16(q * scale + offset), summed in float64.

    What is left is float32 summation and one rounding of the result.
    """
    tensor, x = quantized(*shape, symmetric=symmetric), inputs(tokens, shape[1])
    scale = tensor.scale.bfloat16().double().repeat_interleave(32, dim=1)
    w = tensor.q.double() * scale
    if tensor.offset is not None:
        w += tensor.offset.bfloat16().double().repeat_interleave(32, dim=1)
    w = w.bfloat16().double()
    expected = x.double() @ w.t()
    found = TilePackedInt4(tensor, CUDA).multiply(x.to(CUDA)).cpu().double()
    sizes = x.double().abs() @ w.abs().t()
    tolerance = BF16 * expected.abs() + shape[1] * 2.0**-24 * sizes
    share = float(((found - expected).abs() / tolerance).max())
    print(f"tinygemm {shape}, {tokens} tokens: {share:.3f} of the tolerance")
    assert share <= 1


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize(
    "form",
    [
        (4, True, 32, TilePackedInt4), (4, False, 32, TilePackedInt4), (4, False, 16, RowsInt4),
        (8, True, 32, RowsInt8), (8, True, None, RowsInt8),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("shape", [(24, 96), (64, 5376)], ids=str)
def test_products_are_near_those_of_the_stored_values(
    shape: tuple[int, int], form: tuple[int, bool, int | None, type], tokens: int
) -> None:
    """Root mean square against the exact product.

    Weights in bfloat16 and the result's rounding err by at most 2^-8 each;
    tinygemm's scales and offsets by 2^-8 of their own,
    and an offset may be as large as the weights: four roundings in all.
    """
    bits, symmetric, group, kind = form
    tensor, x = quantized(*shape, bits, symmetric, group), inputs(tokens, shape[1])
    weight = packed_weight.pack(tensor, torch.bfloat16, CUDA)
    assert isinstance(weight, kind)
    exact = x.double() @ tensor.dequantize().double().t()
    found = QuantizedLinear(weight)(x.to(CUDA)[None])[0].cpu().double()
    error = float((found - exact).norm() / exact.norm())
    tolerance = (4 if kind is TilePackedInt4 and tokens <= TINYGEMM_TOKENS else 2) * BF16
    print(f"{shape} {kind.__name__}, {tokens} tokens: {error / tolerance:.3f} of the tolerance")
    assert error <= tolerance


def test_the_tiles_are_those_of_torchao() -> None:
    tensor, x = quantized(64, 1024), inputs(5, 1024).to(CUDA)
    weight = TilePackedInt4(tensor, CUDA)
    theirs = Int4TilePackedTo4dTensor(
        weight.tiles, weight.scale_and_zero, [1, 32], torch.Size((64, 1024))
    )
    assert torch.equal(weight.multiply(x), functional.linear(x, theirs))
    values = torch.randn(64, 1024, dtype=torch.bfloat16, device=CUDA)
    packed = Int4TilePackedTo4dTensor.from_hp(values, [1, 32])
    assert packed.qdata.shape == weight.tiles.shape
    assert packed.scale_and_zero.shape == weight.scale_and_zero.shape


def quantized_checkpoint(path: Path, num_layers: int) -> Path:
    config = tiny_config(num_layers=num_layers, window=5)
    synthetic.write_checkpoint(path / "plain", config, dtype=torch.float32)
    with open_checkpoint(path / "plain") as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        rules, quiet = recipe.recipe("default", num_layers), store.Settings(progress="none")
        store.quantize_checkpoint(checkpoint, rules, path / "int4", quiet)
    return path / "int4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantized_checkpoint(tmp_path_factory.mktemp("three"), 3)


def load(folder: Path, device: torch.device, dtype: torch.dtype, packed: bool) -> GemmaModel:
    with open_checkpoint(folder) as checkpoint:
        return load_model(
            checkpoint, max_context=96, max_chunk=40, dtype=dtype, device=device, packed=packed
        )


def greedy_and_drawn(model: GemmaModel, compiled: bool = False) -> list[tuple[int, ...]]:
    decode = compile_decode(model) if compiled else None
    samplings = (Sampling(), Sampling(temperature=1.2, top_k=50, top_p=0.95))
    options = [GenerationOptions(max_new_tokens=16, sampling=each, seed=3) for each in samplings]
    return [generate(model, PROMPT, each, decode=decode).tokens for each in options]


def test_float32_text_is_that_of_the_cpu(folder: Path) -> None:
    expected = greedy_and_drawn(load(folder, CPU, torch.float32, packed=False))
    for packed in (True, False):
        assert greedy_and_drawn(load(folder, CUDA, torch.float32, packed)) == expected


def logprobs(model: GemmaModel, chunk: int) -> torch.Tensor:
    """log P of every token of the prompt but the first, float64."""
    lines = score(model, PROMPT, chunk)
    return torch.tensor([line.next_logprob for line in lines if line.next_logprob is not None])


@pytest.mark.parametrize("chunk", [1, 8, 21])
def test_bfloat16_scores_are_as_near_as_those_of_the_cpu(folder: Path, chunk: int) -> None:
    """The yardstick is what bfloat16 costs on the CPU with plain weights.

    tinygemm rounds scales and offsets too, two roundings of the same size more, so twice that.
    """
    exact = logprobs(load(folder, CPU, torch.float32, packed=False), chunk)
    usual = float((logprobs(load(folder, CPU, torch.bfloat16, packed=False), chunk) - exact).norm())
    model = load(folder, CUDA, torch.bfloat16, packed=True)
    linear = model.get_submodule("layers.0.mlp.up_proj")
    assert isinstance(linear, QuantizedLinear) and isinstance(linear.packed, TilePackedInt4)
    found = float((logprobs(model, chunk) - exact).norm())
    print(f"chunks of {chunk}: error {found:.4f}, {found / usual / 2:.3f} of the tolerance")
    assert usual > 0 and found <= 2 * usual


@pytest.fixture(scope="module")
def one_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantized_checkpoint(tmp_path_factory.mktemp("one"), 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_compiled_step_gives_the_same_text(one_layer: Path, dtype: torch.dtype) -> None:
    """With bfloat16 it takes tinygemm."""
    model = load(one_layer, CUDA, dtype, packed=True)
    assert greedy_and_drawn(model, compiled=True)[0] == greedy_and_drawn(model)[0]
