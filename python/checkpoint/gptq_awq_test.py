"""GPTQ's and AWQ's own formats: folders as published, read to the last bit.

AWQ's are also given to compressed-tensors' converter of AutoAWQ checkpoints, which must agree.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from compressed_tensors.entrypoints.convert.converters.autoawq import AutoAWQConverter
from safetensors.torch import save_file

from python.checkpoint.config_hf_json import config_json
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import IntegerTensor
from python.checkpoint.testing import modelopt_parts
from python.checkpoint.testing.column_words import awq_parts, gptq_parts
from python.model.named_configs import tiny_gemma4
from python.model.weight_names import expected_weights
from python.pack import pack_scaled
from python.pack.pack import pack
from python.pack.testing.unpack import unpack
from python.quant.dequantize import dequantize

CONFIG = tiny_gemma4(num_layers=1)
UP = "layers.0.mlp.up_proj.weight"
ROWS, COLUMNS = 512, 256


def _matrix(bits: int, group: int, *, symmetric: bool) -> tuple[torch.Tensor, ...]:
    """q from 0, scale, zero and the values that they stand for."""
    random = torch.Generator().manual_seed(bits + group)
    q = torch.randint(1 << bits, (ROWS, COLUMNS), generator=random)
    shape = (ROWS, COLUMNS // group)
    scale = (0.01 * (1 + torch.rand(shape, generator=random))).to(torch.float16)
    zero = torch.randint(1, 1 << bits, shape, generator=random)
    if symmetric:
        zero = torch.full(shape, 1 << bits - 1)
    groups = q.view(ROWS, -1, group) - zero.unsqueeze(-1)
    return q, scale, zero, (groups.float() * scale.float().unsqueeze(-1)).flatten(1)


def _write(folder: Path, parts: dict[str, torch.Tensor], quantization: dict[str, Any]) -> Path:
    tensors = {
        f"model.{name}": torch.ones(shape, dtype=torch.bfloat16)
        for name, shape in expected_weights(CONFIG).items()
        if name != UP
    }
    module = f"model.{UP}".removesuffix("weight")
    save_file(tensors | {module + part: it for part, it in parts.items()}, folder / "m.safetensors")
    values = config_json(CONFIG, torch.float16) | {"quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def _check(folder: Path, values: torch.Tensor, layout: str) -> None:
    with open_checkpoint(folder) as checkpoint:
        stored = checkpoint.read(UP)
        assert isinstance(stored, IntegerTensor)
        assert torch.equal(dequantize(UP, stored), values)
        info, form = checkpoint.describe(UP), checkpoint.form(UP)
        shape, exact = pack_scaled.kept_shape(info, form, allow_lossy=False)
        assert (exact, shape.layout.name) == (True, layout)
        packed = pack_scaled.pack_scaled(UP, stored, shape)
        assert packed.loss == 0.0 and np.array_equal(unpack(packed), values.numpy())


@pytest.mark.parametrize("group", [32, 128, -1])
@pytest.mark.parametrize("second_format", [False, True])
@pytest.mark.parametrize(
    ("bits", "symmetric", "layout"), [(4, True, "INT4"), (4, False, "INT5"), (8, True, "INT8")]
)
def test_gptq(
    tmp_path: Path, bits: int, symmetric: bool, layout: str, group: int, second_format: bool
) -> None:
    columns = COLUMNS if group == -1 else group
    q, scale, zero, values = _matrix(bits, columns, symmetric=symmetric)
    parts = gptq_parts(q, scale, zero, bits=bits, second_format=second_format)
    quantization = {
        "quant_method": "gptq", "bits": bits, "group_size": group, "sym": symmetric,
        "desc_act": False, "checkpoint_format": "gptq_v2" if second_format else "gptq",
    }  # fmt: skip
    _check(_write(tmp_path, parts, quantization), values, layout)


@pytest.mark.parametrize("group", [32, 128])
def test_awq(tmp_path: Path, group: int) -> None:
    q, scale, zero, values = _matrix(4, group, symmetric=False)
    parts = awq_parts(q, scale, zero)
    quantization = {
        "quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True,
        "version": "GEMM", "modules_to_not_convert": None,
    }  # fmt: skip
    _check(_write(tmp_path, parts, quantization), values, "INT5")
    converted = AutoAWQConverter(group_size=group).process({f"a.{k}": v for k, v in parts.items()})
    shape = converted["a.weight_shape"]
    theirs = unpack_from_int32(converted["a.weight_packed"], 4, shape) + 8
    zeros = unpack_from_int32(
        converted["a.weight_zero_point"], 4, torch.Size((ROWS, COLUMNS // group)), packed_dim=0
    )
    assert torch.equal(theirs.to(torch.int64), q)
    assert torch.equal(zeros.to(torch.int64) + 8, zero)


# sha256 of what AutoGPTQ 0.7.1 (its old CUDA linear's pack), AutoAWQ 0.2.9 (WQLinear_GEMM) and
# ModelOpt 0.47.0 (NVFP4QTensor, FP8QTensor) make of the matrices below, on the CPU.
_WRITTEN_BY = {
    "AutoGPTQ, 4 bits": "0f727ea79f2708c1",
    "AutoGPTQ, 8 bits": "be1acaa9d8bc45fb",
    "AutoAWQ": "efdbf1a1b3417c5b",
    "ModelOpt, NVFP4": "d346e6214761ba54",
    "ModelOpt, FP8": "ebeb6221dc44a3a8",
}


def _digest(parts: dict[str, torch.Tensor]) -> str:
    """Of names and bytes, without the scales of activations."""
    digest = hashlib.sha256()
    for name in sorted(parts.keys() - {"input_scale"}):
        data = parts[name].contiguous().reshape(-1).view(torch.uint8)
        digest.update(name.encode() + data.numpy().tobytes())
    return digest.hexdigest()[:16]


def test_the_tensors_written_here_are_those_of_the_libraries() -> None:
    row, column, group = torch.arange(32)[:, None], torch.arange(128)[None], torch.arange(4)[None]
    mixed = 7 * row + 11 * column + row * column
    scale = ((1 + (row + 2 * group) % 8) / 256).to(torch.float16)
    written = {}
    for bits in (4, 8):
        zero = (3 * row + 5 * group) % ((1 << bits) - 1) + 1
        q = mixed % (1 << bits)
        parts = gptq_parts(q, scale, zero, bits=bits, second_format=False)
        written[f"AutoGPTQ, {bits} bits"] = _digest(parts)
    zero = (3 * row + 5 * group) % 15 + 1
    written["AutoAWQ"] = _digest(awq_parts(mixed % 16, scale, zero))
    w = (mixed % 127 - 63).float() / 256
    written["ModelOpt, NVFP4"] = _digest(modelopt_parts.nvfp4_parts(w)[0])
    written["ModelOpt, FP8"] = _digest(modelopt_parts.fp8_parts(w)[0])
    assert written == _WRITTEN_BY


def test_float8_of_modelopt_and_of_transformers(tmp_path: Path) -> None:
    """One scale for a matrix (ModelOpt), and blocks of 128 x 128 with weight_scale_inv or without."""
    values = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0))
    eighths = values.to(torch.float8_e4m3fn)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    one = {"weight": eighths, "weight_scale": torch.tensor(0.02), "input_scale": torch.tensor(1.0)}
    folder = _write(tmp_path / "a", one, {"quant_method": "modelopt", "quant_algo": "FP8"})
    with open_checkpoint(folder) as checkpoint:
        ours = dequantize(UP, checkpoint.read(UP))
        assert torch.equal(ours, eighths.float() * torch.tensor(0.02))
    scale = 0.01 * (1 + torch.rand(4, 2, generator=torch.Generator().manual_seed(1)))
    blocks = {
        "weight": eighths, "weight_scale_inv": scale, "activation_scale": torch.tensor(1.0)
    }  # fmt: skip
    quantization = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    with open_checkpoint(_write(tmp_path / "b", blocks, quantization)) as checkpoint:
        spread = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)
        assert torch.equal(dequantize(UP, checkpoint.read(UP)), eighths.float() * spread)
    blocks = {"weight": eighths, "weight_scale": scale.reshape(4, 1, 2, 1)}
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"}
    with open_checkpoint(_write(tmp_path / "c", blocks, quantization)) as checkpoint:
        assert torch.equal(dequantize(UP, checkpoint.read(UP)), eighths.float() * spread)


def test_nvfp4_of_modelopt(tmp_path: Path) -> None:
    """Two values a byte, the even column in the low bits; a scale for 16 columns times one for all."""
    random = torch.Generator().manual_seed(2)
    pairs = torch.randint(256, (ROWS, COLUMNS // 2), dtype=torch.uint8, generator=random)
    sixteens = (1 + 200 * torch.rand(ROWS, COLUMNS // 16, generator=random)).to(torch.float8_e4m3fn)
    whole = torch.tensor(1.7e-4)
    parts = {
        "weight": pairs,
        "weight_scale": sixteens,
        "weight_scale_2": whole,
        "input_scale": torch.tensor(0.5),
    }
    folder = _write(tmp_path, parts, {"quant_method": "modelopt", "quant_algo": "NVFP4"})
    values = unpack_fp4_from_uint8(pairs, ROWS, COLUMNS, dtype=torch.float32)
    expected = values * (sixteens.float() * whole).repeat_interleave(16, 1)
    with open_checkpoint(folder) as checkpoint:
        tensor = checkpoint.read(UP)
        torch.testing.assert_close(dequantize(UP, tensor), expected, rtol=2**-23, atol=0)
        packed = pack(UP, tensor)
    assert np.array_equal(unpack(packed), dequantize(UP, tensor).numpy())
