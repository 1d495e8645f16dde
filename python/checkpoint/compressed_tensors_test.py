"""Folders that the compressed-tensors library wrote are read bit for bit as it reads them itself."""

from __future__ import annotations

import copy
import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from compressed_tensors.quantization import QuantizationScheme
from safetensors.torch import load_file, save_file

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import DenseTensor
from python.checkpoint.testing.compressed_folders import (
    dequantized,
    integers,
    preset,
    write_folder,
)
from python.console.errors import FormatError
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.model.testing.hf_reference import hf_model
from python.pack import pack, pack_scaled
from python.pack.testing.unpack import unpack
from python.quant.dequantize import dequantize

DOWN = "re:.*mlp.down_proj"
CASES: dict[str, dict[str, QuantizationScheme]] = {
    "w4a16, groups of 32": {"g": integers(4, 32)},
    "w4a16, groups of 64": {"g": integers(4, 64)},
    "w4a16, groups of 128": {"g": integers(4, 128)},
    "w4a16, a scale a row": {"g": integers(4, None)},
    "w4a16, zero points": {"g": integers(4, 128, symmetric=False)},
    "w4a16, zero points, a row": {"g": integers(4, None, symmetric=False)},
    "w8a16": {"g": integers(8, 128)},
    "w3a16": {"g": integers(3, 32)},
    "w5a16, zero points": {"g": integers(5, 64, symmetric=False)},
    "w8a8": {"g": preset("W8A8")},
    "mixed": {"g": integers(4, 32), "h": preset("W8A8", DOWN)},
}
ROUNDED: dict[str, tuple[dict[str, QuantizationScheme], float]] = {
    "fp8, a scale a row": ({"g": preset("FP8_DYNAMIC")}, 0.008),
    "fp8, blocks": ({"g": preset("FP8_BLOCK")}, 0.008),
    "fp8, one scale": ({"g": preset("FP8")}, 0.008),
    "w4a16, groups of 16": ({"g": integers(4, 16)}, 0.008),
    "w8a16, zero points": ({"g": integers(8, 128, symmetric=False)}, 0.008),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a case, which is written once."""

    @functools.cache
    def write(name: str) -> Path:
        folder = tmp_path_factory.mktemp("folder")
        schemes = CASES[name] if name in CASES else ROUNDED[name][0]
        model = hf_model(tiny_gemma4(num_layers=2), seed=0, dtype=torch.bfloat16)
        write_folder(folder, model, copy.deepcopy(schemes))
        return folder

    return write


@pytest.mark.parametrize("name", [*CASES, *ROUNDED])
def test_every_value_is_the_librarys(written: Callable[[str], Path], name: str) -> None:
    folder = written(name)
    with open_checkpoint(folder) as checkpoint:
        exact = dict(dequantized(folder, torch.float32))
        rounded = dict(dequantized(folder, torch.bfloat16))
        assert len(exact) == 2 * 7 - 1  # the last layer has no v_proj
        for stored, theirs in exact.items():
            weight = stored.removeprefix("model.")
            ours = dequantize(weight, checkpoint.read(weight))
            assert torch.equal(ours, theirs), weight
            assert torch.equal(ours.to(torch.bfloat16), rounded[stored]), weight
        embedding = checkpoint.read("embed_tokens.weight")
        assert isinstance(embedding, DenseTensor) and embedding.values.dtype == torch.bfloat16


@pytest.mark.parametrize("name", CASES)
def test_a_layout_holds_every_value(written: Callable[[str], Path], name: str) -> None:
    with open_checkpoint(written(name)) as checkpoint:
        for weight in ("layers.1.self_attn.k_proj.weight", "layers.0.mlp.down_proj.weight"):
            info, form = checkpoint.describe(weight), checkpoint.form(weight)
            shape, exact = pack_scaled.kept_shape(info, form, allow_lossy=False)
            tensor = checkpoint.read(weight)
            packed = pack_scaled.pack_scaled(weight, tensor, shape)  # type: ignore[arg-type]
            values = dequantize(weight, tensor).numpy()
            assert exact and packed.loss == 0.0
            assert np.array_equal(unpack(packed), values)


@pytest.mark.parametrize("name", ROUNDED)
def test_what_no_layout_holds_states_its_loss(written: Callable[[str], Path], name: str) -> None:
    with open_checkpoint(written(name)) as checkpoint:
        _check_loss(checkpoint, ROUNDED[name][1], allow_lossy=False)


def test_zero_points_of_four_bits_fit_into_less_with_a_loss(
    written: Callable[[str], Path],
) -> None:
    with open_checkpoint(written("w4a16, zero points")) as checkpoint:
        _check_loss(checkpoint, 2e-4, allow_lossy=True)


def _check_loss(checkpoint: Checkpoint, bound: float, *, allow_lossy: bool) -> None:
    weight = "layers.0.mlp.down_proj.weight"
    info, form = checkpoint.describe(weight), checkpoint.form(weight)
    shape, exact = pack_scaled.kept_shape(info, form, allow_lossy=allow_lossy)
    tensor = checkpoint.read(weight)
    packed = pack_scaled.pack_scaled(weight, tensor, shape)  # type: ignore[arg-type]
    values = dequantize(weight, tensor).numpy().astype(np.float64)
    loss = np.linalg.norm(unpack(packed) - values) / np.linalg.norm(values)
    share = f"{loss / bound:.0%} of the bound"
    print(f"{info.encoding} as {shape.layout.name}: loss {loss:.2e}, {share}")
    assert not exact and 0 < loss < bound
    assert packed.loss == pytest.approx(loss, rel=1e-4)


def test_towers_and_scales_of_caches_are_left_out(
    written: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the multimodal folders are: another prefix, a tower in a form of its own, kv scales."""
    source = written("mixed")
    tensors = {
        name.replace("model.", "model.language_model.", 1): tensor
        for name, tensor in load_file(source / "model.safetensors").items()
    }
    attention = "model.language_model.layers.0.self_attn"
    for name in (f"{attention}.k_scale", f"{attention}.v_scale"):
        tensors[name] = torch.ones(1)
    for leaf in ("weight_packed", "weight_scale", "weight_global_scale"):
        tensors[f"model.vision_tower.layers.0.fc.{leaf}"] = torch.zeros(3, dtype=torch.uint8)
    save_file(tensors, tmp_path / "model.safetensors")
    shutil.copyfile(source / "config.json", tmp_path / "config.json")
    with open_checkpoint(tmp_path) as checkpoint, open_checkpoint(source) as plain:
        for weight in plain.names():
            mine = dequantize(weight, checkpoint.read(weight))
            assert torch.equal(mine, dequantize(weight, plain.read(weight)))
    assert "2 scales of a quantized KV cache are ignored" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["NVFP4A16", "NVFP4"])
def test_nvfp4(tmp_path: Path, scheme: str) -> None:
    """compressed-tensors divides by a scale of the whole matrix, the layout multiplies by its inverse.

    So a value may be off by roundings of float32, and nothing more; in bfloat16 it is the library's.
    """
    model = hf_model(tiny_gemma4(num_layers=2), seed=0, dtype=torch.bfloat16)
    write_folder(tmp_path, model, {"g": preset(scheme)})
    with open_checkpoint(tmp_path) as checkpoint:
        rounded = dict(dequantized(tmp_path, torch.bfloat16))
        for stored, theirs in dequantized(tmp_path, torch.float32):
            weight = stored.removeprefix("model.")
            tensor = checkpoint.read(weight)
            values = dequantize(weight, tensor)
            assert torch.allclose(values, theirs, rtol=2.0**-22, atol=0.0), weight
            assert torch.equal(values.to(torch.bfloat16), rounded[stored]), weight
            assert np.array_equal(unpack(pack.pack(weight, tensor)), values.numpy())


@pytest.mark.parametrize(
    ("scheme", "sentence"),
    [
        ("MXFP4A16", r"packed in bytes, but not as NVFP4 \(4 bits, groups of 16\)"),
        ("MXFP8A16", "has a scale of U8"),
    ],
)
def test_powers_of_two_as_scales_are_refused(tmp_path: Path, scheme: str, sentence: str) -> None:
    model = hf_model(tiny_gemma4(num_layers=1), seed=0, dtype=torch.bfloat16)
    write_folder(tmp_path, model, {"g": preset(scheme)})
    with pytest.raises(FormatError, match=f"down_proj.weight' .*{sentence}"):
        open_checkpoint(tmp_path)


def test_gemma3(tmp_path: Path) -> None:
    model = hf_model(tiny_gemma3(num_layers=2), seed=0, dtype=torch.bfloat16)
    write_folder(tmp_path, model, {"g": integers(4, 32)})
    with open_checkpoint(tmp_path) as checkpoint:
        for stored, theirs in dequantized(tmp_path, torch.float32):
            weight = stored.removeprefix("model.")
            assert torch.equal(dequantize(weight, checkpoint.read(weight)), theirs)
