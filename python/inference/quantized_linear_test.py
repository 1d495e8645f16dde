"""Tests of packed weights and of the modules over them, against plain dequantized weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from python.checkpoint.quantized import QuantizedTensor
from python.inference import packed_weight, quantized_linear
from python.inference.packed_weight import PackedWeight, RowsInt4, RowsInt8, TilePackedInt4
from python.inference.quantized_linear import (
    QuantizedEmbedding,
    QuantizedLinear,
    multiply_dequantized,
)
from python.quant.methods.min_max import quantize_min_max

torch.set_num_threads(1)

CPU = torch.device("cpu")
# Rows and columns: one row, odd rows, one group, many groups.
SHAPES = [(1, 32), (7, 96), (24, 64), (65, 160)]
FORMS = [(4, 32, True), (4, 32, False), (8, 32, True), (8, None, True), (8, 32, False)]


Form = tuple[int, int | None, bool]  # bits, group (None: one a row), symmetric


def quantized(rows: int, columns: int, form: Form) -> QuantizedTensor:
    bits, group, symmetric = form
    generator = torch.Generator().manual_seed(rows * columns + bits)
    weight = torch.randn(rows, columns, generator=generator) * 0.02 + 0.005
    return quantize_min_max(weight, bits=bits, group=group or columns, symmetric=symmetric)


def inputs(tokens: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(tokens)
    return torch.randn(1, tokens, columns, generator=generator).to(dtype)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_values_are_those_of_plain_loading(
    shape: tuple[int, int], form: Form, dtype: torch.dtype
) -> None:
    tensor = quantized(*shape, form)
    weight = packed_weight.pack(tensor, dtype, CPU)
    assert isinstance(weight, RowsInt4 if form[0] == 4 else RowsInt8)
    plain = tensor.dequantize().to(dtype)
    assert torch.equal(weight.dequantize(slice(0, shape[0]), dtype), plain)
    picked = torch.tensor([shape[0] - 1, 0, shape[0] // 2, 0])
    assert torch.equal(weight.dequantize(picked, dtype), plain[picked])


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tokens", [1, 8, 9])
def test_products_are_those_of_plain_weights(
    shape: tuple[int, int],
    form: Form,
    tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In blocks of 8 rows; any order of summing k products errs by k 2^-24 of their sizes."""
    monkeypatch.setitem(quantized_linear._BLOCK_WEIGHTS, "cpu", 8 * shape[1])
    tensor, x = quantized(*shape, form), inputs(tokens, shape[1], torch.float32)
    found = QuantizedLinear(packed_weight.pack(tensor, x.dtype, CPU))(x)
    plain = tensor.dequantize()
    tolerance = shape[1] * 2.0**-24 * functional.linear(x.abs(), plain.abs())
    share = float(((found - functional.linear(x, plain)).abs() / tolerance).max())
    print(f"{shape} {form}, {tokens} tokens: {share:.3f} of the tolerance")
    assert found.shape == (1, tokens, shape[0])
    assert share <= 1


def test_the_embedding_gathers_rows_and_is_the_tied_head(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = quantized(33, 64, (8, None, True))
    plain = tensor.dequantize().to(torch.bfloat16)
    embedding = QuantizedEmbedding(packed_weight.pack(tensor, torch.float32, CPU), torch.bfloat16)
    tokens = torch.tensor([[3, 32, 0, 3]])
    assert torch.equal(embedding(tokens), functional.embedding(tokens, plain))
    x = inputs(5, 64, torch.bfloat16)
    whole = embedding.project(x)
    assert torch.equal(whole, functional.linear(x, plain))
    monkeypatch.setitem(quantized_linear._BLOCK_WEIGHTS, "cpu", 16 * 64)
    # A block at a time sums in another order at most: one rounding to bfloat16 apart.
    assert torch.allclose(embedding.project(x), whole, rtol=2.0**-7, atol=1e-3)


def test_no_more_than_a_block_is_dequantized_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(quantized_linear._BLOCK_WEIGHTS, "cpu", 20 * 64)
    seen: list[slice] = []

    def dequantize(self: PackedWeight, rows: slice, dtype: torch.dtype) -> torch.Tensor:
        seen.append(rows)
        return torch.zeros(len(range(*rows.indices(self.rows))), self.columns, dtype=dtype)

    monkeypatch.setattr(PackedWeight, "dequantize", dequantize)
    weight = packed_weight.pack(quantized(37, 64, (4, 32, True)), torch.float32, CPU)
    assert multiply_dequantized(torch.zeros(2, 64), weight).shape == (2, 37)
    assert seen == [slice(0, 16), slice(16, 32), slice(32, 48)]


def test_memory_is_that_of_the_stored_form() -> None:
    weight = packed_weight.pack(quantized(64, 256, (4, 32, False)), torch.bfloat16, CPU)
    assert weight.bytes == 64 * 256 // 2 + 2 * 64 * 8 * 2  # nibbles; float16 scales and offsets
    weight = packed_weight.pack(quantized(64, 256, (8, None, True)), torch.bfloat16, CPU)
    assert weight.bytes == 64 * 256 + 64 * 4


def test_tiles_are_unpacked_by_the_layout_of_mma() -> None:
    """Against the layout written out, one nibble after another (PyTorch's int4mm.cu)."""
    generator = torch.Generator().manual_seed(1)
    for inner in (2, 4, 8):
        q = torch.randint(-8, 8, (16, 3 * inner * 16), dtype=torch.int8, generator=generator)
        tiles = torch.zeros(2, 3, 32, inner // 2, dtype=torch.int64)
        for row_tile, block, lane, pair in torch.cartesian_prod(
            torch.arange(2), torch.arange(3), torch.arange(32), torch.arange(inner // 2)
        ).tolist():
            for nibble in range(8):
                k_tile, half, odd = nibble % 4 // 2, nibble % 2, nibble // 4
                column = (block * inner + pair * 2 + k_tile) * 16 + half * 8 + lane % 4 * 2 + odd
                level = int(q[row_tile * 8 + lane // 4, column]) + 8
                tiles[row_tile, block, lane, pair] |= level << 4 * nibble
        wrapped = torch.where(tiles >= 1 << 31, tiles - (1 << 32), tiles).to(torch.int32)
        assert torch.equal(packed_weight.unpack_tiles(wrapped), q)


def test_tiles_on_the_cpu_are_refused() -> None:
    with pytest.raises(ValueError, match="tinygemm needs CUDA"):
        TilePackedInt4(quantized(8, 32, (4, 32, True)), CPU)


@pytest.mark.parametrize(
    ("rows", "form", "dtype", "obstacle"),
    [
        (8, (4, 32, True), torch.bfloat16, None),
        (8, (4, 32, True), torch.float32, "bfloat16 activations, these are float32"),
        (8, (8, 32, True), torch.bfloat16, "4 bits, these are 8"),
        (9, (4, 32, True), torch.bfloat16, "a multiple of 8 rows, these are 9"),
        (8, (4, 16, True), torch.bfloat16, "groups of (32, 64, 128, 256), these are of 16"),
    ],
)
def test_what_tinygemm_lacks_is_named(
    rows: int,
    form: Form,
    dtype: torch.dtype,
    obstacle: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    found = packed_weight.tinygemm_obstacle(quantized(rows, 64, form), dtype, torch.device("cuda"))
    assert found == (obstacle and f"tinygemm needs {obstacle}")


def test_an_old_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    tensor = quantized(8, 64, (4, 32, True))
    found = packed_weight.tinygemm_obstacle(tensor, torch.bfloat16, torch.device("cuda"))
    assert found == "tinygemm needs compute capability 8.0"
