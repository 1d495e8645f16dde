"""Tests of pack and unpack: GGUF values to the last bit, and the planes of docs/formats.md."""

import gguf
import numpy as np
import pytest
import torch

from python.checkpoint import ggml_types, gguf_blocks
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.quantized import QuantizedTensor, to_torchao
from python.checkpoint.tensor import BlockTensor, DenseTensor, Fp4Tensor
from python.console.errors import UserError
from python.pack import pack
from python.pack.layouts import Layout, WeightShape
from python.pack.testing import unpack
from python.quant.methods.min_max import quantize_min_max

EXACT = (
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
)  # fmt: skip
INEXACT = ("Q2_K",)


def random_blocks(kind: GgmlType, rows: int, blocks: int, seed: int) -> BlockTensor:
    """Any bytes, but float16 numbers of ordinary size: sign and exponent are 0x80 | 0x20..0x2f."""
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, (rows, blocks, kind.bytes), dtype=np.uint8)
    k_types = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
    halves = {"Q4_1": (0, 2), "Q5_1": (0, 2), **k_types}.get(kind.name, (0,))  # fmt: skip
    for start in halves:
        data[:, :, start + 1] = random.integers(0x20, 0x30, (rows, blocks)) | (
            random.integers(0, 2, (rows, blocks)) << 7
        )
    return BlockTensor(type=kind, columns=blocks * kind.columns, blocks=data.reshape(rows, -1))


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (3, 5), (17, 2)])
def test_exact_types_keep_every_bit(name: str, rows: int, blocks: int) -> None:
    tensor = random_blocks(ggml_types.BY_NAME[name], rows, blocks, seed=rows)
    packed = pack.pack("w", tensor)
    assert packed.loss == 0.0
    assert packed.shape == pack.kept_shape(name, tensor.rows, tensor.columns)
    theirs = gguf.dequantize(tensor.blocks, gguf.GGMLQuantizationType[name])
    assert np.array_equal(unpack.unpack(packed).view(np.uint32), theirs.view(np.uint32))


@pytest.mark.parametrize("name", EXACT)
def test_hostile_numbers_do_not_stop_it(name: str) -> None:
    kind = ggml_types.BY_NAME[name]
    data = np.full((2, 3 * kind.bytes), 0xFF, dtype=np.uint8)  # every float16 is a NaN
    packed = pack.pack("w", BlockTensor(type=kind, columns=3 * kind.columns, blocks=data))
    assert np.isnan(unpack.unpack(packed)).all()


@pytest.mark.parametrize(("name", "bound"), [("Q2_K", 0.005)])
def test_the_other_types_state_their_loss(name: str, bound: float) -> None:
    assert not pack.is_exact(name)
    tensor = random_blocks(ggml_types.BY_NAME[name], 33, 7, seed=3)
    packed = pack.pack("w", tensor)
    w = gguf_blocks.dequantize(tensor).astype(np.float64)
    loss = np.linalg.norm(unpack.unpack(packed) - w) / np.linalg.norm(w)
    assert packed.loss == pytest.approx(loss, rel=1e-6)
    print(f"{name}: loss {loss:.2e}, {loss / bound:.0%} of the bound")
    assert 0 < loss < bound


def test_every_type_is_packed() -> None:
    assert set(EXACT + INEXACT) == {kind.name for kind in ggml_types.ALL if not kind.is_plain}


def test_slabs_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = random_blocks(ggml_types.Q6_K, 19, 3, seed=4)
    whole = pack.pack("w", tensor)
    monkeypatch.setattr(pack, "_SLAB_COLUMNS", 1600)
    assert np.array_equal(pack.pack("w", tensor).data, whole.data)


def random_fp4(rows: int, columns: int, seed: int) -> Fp4Tensor:
    random = np.random.default_rng(seed)
    scale = random.integers(0, 256, (rows, columns // 16), dtype=np.uint8)
    scale[(scale & 0x7F) == 0x7F] = 0x7E  # those are no numbers
    return Fp4Tensor(
        pairs=torch.from_numpy(random.integers(0, 256, (rows, columns // 2), dtype=np.uint8)),
        scale=torch.from_numpy(scale).view(torch.float8_e4m3fn),
        global_scale=torch.from_numpy(random.uniform(1e-5, 1, rows).astype(np.float32)),
    )


@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (3, 96), (17, 2112)])
def test_nvfp4_keeps_every_bit(rows: int, columns: int) -> None:
    tensor = random_fp4(rows, columns, seed=rows)
    packed = pack.pack("w", tensor)
    assert packed.loss == 0.0
    assert packed.shape == pack.kept_shape("NVFP4", rows, columns)
    theirs = tensor.dequantize().numpy()
    assert np.array_equal(unpack.unpack(packed).view(np.uint32), theirs.view(np.uint32))


def test_nvfp4_has_the_values_of_gguf_py() -> None:
    """The judge of the levels, of E4M3 and of who lies where: the same codes in GGUF's blocks.

    A block of 64 columns holds 4 scales,
    then the first 8 columns of each 16 in the low halves of 8 bytes.
    """
    tensor = random_fp4(5, 64, seed=1)
    scale = tensor.scale.view(torch.uint8).numpy() & 0x7F  # those of GGUF have no sign
    tensor = Fp4Tensor(
        pairs=tensor.pairs,
        scale=torch.from_numpy(scale).view(torch.float8_e4m3fn),
        global_scale=torch.ones(5),
    )
    pairs = tensor.pairs.numpy()
    codes = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(5, 4, 16)
    blocks = np.concatenate([scale, (codes[..., :8] | codes[..., 8:] << 4).reshape(5, 32)], axis=1)
    theirs = gguf.dequantize(blocks, gguf.GGMLQuantizationType.NVFP4).reshape(5, 64)
    assert np.array_equal(unpack.unpack(pack.pack("w", tensor)), theirs)


def test_nvfp4_refuses_scales_that_are_no_numbers() -> None:
    tensor = random_fp4(2, 32, seed=2)
    tensor.scale.view(torch.uint8)[1, 0] = 0xFF
    with pytest.raises(UserError, match=r"^w: a scale is no number$"):
        pack.pack("w", tensor)


def test_planes_of_int5() -> None:
    """A 2 x 64 matrix in INT5, byte by byte as docs/formats.md says."""
    q = np.arange(2 * 64).reshape(2, 64) % 32
    blocks = np.zeros((4, 22), dtype=np.uint8)
    for block, values in enumerate(q.reshape(4, 32)):
        blocks[block, :2] = np.frombuffer(np.float16(0.5 + block).tobytes(), dtype=np.uint8)
        high = sum(int(value >> 4) << j for j, value in enumerate(values))
        blocks[block, 2:6] = np.frombuffer(high.to_bytes(4, "little"), dtype=np.uint8)
        blocks[block, 6:] = (values[:16] & 15) | ((values[16:] & 15) << 4)
    packed = pack.pack(
        "w", BlockTensor(type=ggml_types.Q5_0, columns=64, blocks=blocks.reshape(2, -1))
    )
    data = packed.data.tobytes()
    assert len(data) == 256 + 8  # 64 bytes of nibbles, 16 of bits at 128, 8 of scales at 256
    for row in range(2):
        for column in range(64):
            byte = data[row * 32 + column // 32 * 16 + column % 16]
            nibble = byte >> 4 if column % 32 >= 16 else byte & 15
            word = int.from_bytes(data[128 + row * 8 + column // 32 * 4 :][:4], "little")
            assert nibble | (word >> column % 32 & 1) << 4 == q[row, column]
    assert np.frombuffer(data[256:], dtype="<f2").tolist() == [0.5, 1.5, 2.5, 3.5]
    assert not any(data[64:128]) and not any(data[144:256])


def test_pair_plane_of_q6_k() -> None:
    """q = 16 * (column // 8 % 4): byte j of 8 holds columns j, j + 8, j + 16, j + 24, lowest first."""
    q = 16 * (np.arange(256) // 8 % 4)
    block = np.zeros((1, 210), dtype=np.uint8)
    for column, value in enumerate(q):
        half, within = divmod(column, 128)
        block[0, 128 + half * 32 + within % 32] |= (value >> 4) << (2 * (within // 32))
    packed = pack.pack("w", BlockTensor(type=ggml_types.Q6_K, columns=256, blocks=block))
    assert set(packed.plane("pair").ravel().tolist()) == {0b11100100}
    assert unpack.quants(packed).ravel().tolist() == q.tolist()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [32, 64, 128, 384])
def test_canonical_tensors_keep_every_bit(bits: int, group: int) -> None:
    weight = torch.randn(7, 384, generator=torch.Generator().manual_seed(0))
    for symmetric in (True,) if bits == 8 else (True, False):
        tensor = quantize_min_max(weight, bits=bits, group=group, symmetric=symmetric)
        packed = pack.pack("w", tensor)
        layout = Layout.INT8 if bits == 8 else Layout.INT4 if symmetric else Layout.INT4_MIN
        assert packed.shape == WeightShape(layout=layout, rows=7, columns=384, group=group)
        assert packed.loss == 0.0
        # float16 scales leave room for exact products; float32 ones round s * q + min and s * (q -
        # 8) + offset apart.
        tolerance = 0 if group < 384 or symmetric else 2e-6
        assert np.abs(unpack.unpack(packed) - tensor.dequantize().numpy()).max() <= tolerance
        assert np.array_equal(pack.pack("w", to_torchao(tensor)).data, packed.data)


def test_a_foreign_offset_states_its_loss() -> None:
    tensor = QuantizedTensor(
        bits=4, group=32, q=torch.arange(-16, 16, dtype=torch.int8)[None].clamp(-8, 7),
        scale=torch.tensor([[1.0]]), offset=torch.tensor([[1e-9]]),
    )  # fmt: skip
    packed = pack.pack("w", tensor)  # 1e-9 - 8 is -8 in float32
    assert packed.loss == pytest.approx(
        1e-9 / tensor.dequantize().square().mean().sqrt().item(), rel=1e-3
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_plain_matrices_and_vectors(dtype: torch.dtype) -> None:
    matrix = torch.randn(3, 5).to(dtype)
    packed = pack.pack("w", DenseTensor(values=matrix))
    layout = {
        torch.float32: Layout.F32,
        torch.float16: Layout.F16,
        torch.bfloat16: Layout.BF16,
    }[dtype]
    assert packed.shape == WeightShape(layout=layout, rows=3, columns=5)
    assert np.array_equal(unpack.unpack(packed), matrix.float().numpy())
    vector = pack.pack("w", DenseTensor(values=matrix[0]))
    assert vector.shape == WeightShape(layout=Layout.F32, rows=1, columns=5)
    assert np.array_equal(unpack.unpack(vector)[0], matrix[0].float().numpy())
    scalar = pack.pack("w", DenseTensor(values=matrix[0, 0]))
    assert scalar.shape == WeightShape(layout=Layout.F32, rows=1, columns=1)


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (DenseTensor(values=torch.zeros(2, 2, 2)), r"layers.0.x: has the shape \[2, 2, 2\]"),
        (DenseTensor(values=torch.zeros(0, 2)), "has the shape"),
        (
            DenseTensor(values=torch.zeros(2, 2, dtype=torch.int32)),
            "only float32, float16 and bfloat16",
        ),
        (
            quantize_min_max(torch.randn(2, 32), bits=8, group=32, symmetric=False),
            "asymmetric with 8 bits has no layout",
        ),
        (
            quantize_min_max(torch.randn(2, 48), bits=4, group=16, symmetric=True),
            "group 16 does not divide 48 columns",
        ),
    ],
)
def test_refused(tensor: DenseTensor | QuantizedTensor, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as error:
        pack.pack("layers.0.x", tensor)
    assert str(error.value).startswith("layers.0.x: ")


@pytest.mark.parametrize(
    ("layout", "group", "bits"),
    [
        ("INT8", 32, 8.5),
        ("INT4", 32, 4.5),
        ("INT4", 128, 4.125),
        ("INT4_MIN", 32, 5),
        ("INT5", 32, 5.5),
        ("INT5_MIN", 32, 6),
        ("Q4_K", 0, 4.5),
        ("Q5_K", 0, 5.5),
        ("Q6_K", 0, 6.5625),
        ("IQ4_NL", 32, 4.5),
        ("IQ4_XS", 0, 4.25),
        ("NVFP4", 0, 4.5625),  # 4.5, and 32 bits a row
        ("BF16", 0, 16),
    ],
)
def test_bits_per_weight_are_those_of_the_document(layout: str, group: int, bits: float) -> None:
    shape = WeightShape(layout=Layout[layout], rows=4, columns=512, group=group)
    assert shape.bits_per_weight == bits


def test_groups_are_checked() -> None:
    with pytest.raises(
        UserError,
        match=r"group 48 does not divide 5376 columns .* \(use 32 or 64 or 128 or 5376, one",
    ):
        WeightShape(layout=Layout.INT4, rows=1, columns=5376, group=48).planes()
    with pytest.raises(UserError, match="Q4_K has blocks of 256 columns, which do not divide 640"):
        WeightShape(layout=Layout.Q4_K, rows=1, columns=640).planes()
    with pytest.raises(UserError, match="NVFP4 has blocks of 32 columns, which do not divide 48"):
        WeightShape(layout=Layout.NVFP4, rows=1, columns=48).planes()
