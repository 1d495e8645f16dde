"""A folder that ExecuTorch's own quantizer and torchao's safetensors support wrote is read exactly.

The quantizer is the one in the wheel (extension/llm/export/quant); its own dequantize_weight judges.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from executorch.extension.llm.export.quant import (
    QuantConfig,
    QuantRecipe,
    QuantRule,
    dequantize_weight,
    quantize_stream,
)
from safetensors.torch import save_file
from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
from torchao.quantization import Int4Tensor

from python.checkpoint.config_hf_json import config_json
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import IntegerTensor
from python.console.errors import FormatError
from python.model.named_configs import tiny_gemma4
from python.model.testing.hf_reference import hf_model
from python.pack import pack_scaled
from python.pack.testing.unpack import unpack
from python.quant.dequantize import dequantize

CONFIG = tiny_gemma4(num_layers=2)
UP = "layers.0.mlp.up_proj.weight"


def _quantized(*, symmetric: bool) -> dict[str, torch.Tensor]:
    """Names without prefix, and a head of its own, as the wheel's gemma4_31b example has them."""
    weights = {
        name.removeprefix("model."): tensor
        for name, tensor in hf_model(CONFIG, seed=0, dtype=torch.bfloat16).state_dict().items()
    }
    weights["lm_head.weight"] = weights["embed_tokens.weight"].clone()
    int4 = QuantConfig(bits=4, group_size=32, symmetric=symmetric, method="min_max")
    int8 = QuantConfig(bits=8, group_size=CONFIG.hidden_size, symmetric=True, method="min_max")
    rules = [
        QuantRule(r"embed_tokens\.weight", int8),
        QuantRule(r".*norm\.weight", None),
        QuantRule(r".*\.weight", int4),
    ]
    return dict(quantize_stream(weights.items(), QuantRecipe(rules=rules), dtype=torch.bfloat16))


def _save(folder: Path, tensors: dict[str, torch.Tensor], prefix: str = "") -> Path:
    named = {
        name if name.startswith("lm_head") else prefix + name: tensor.data
        for name, tensor in tensors.items()
    }
    data, metadata = flatten_tensor_state_dict(named)
    save_file(data, folder / "model.safetensors", metadata=metadata)
    (folder / "config.json").write_text(json.dumps(config_json(CONFIG, torch.bfloat16)))
    return folder


@pytest.mark.parametrize("symmetric", [True, False])
def test_upstreams_own_folder_is_read_exactly(tmp_path: Path, symmetric: bool) -> None:
    tensors = _quantized(symmetric=symmetric)
    with open_checkpoint(_save(tmp_path, tensors)) as checkpoint:
        assert not checkpoint.config.tied_embeddings  # the head has values of its own
        assert set(checkpoint.names()) == set(tensors)
        int4 = [name for name, tensor in tensors.items() if isinstance(tensor, Int4Tensor)]
        assert len(int4) == 2 * 7 - 1 + 1
        for name, tensor in tensors.items():
            stored = checkpoint.read(name)
            ours = dequantize(name, stored)
            if name == "embed_tokens.weight" or name in int4:
                assert torch.equal(ours, dequantize_weight(tensor, torch.float32)), name
            else:
                assert torch.equal(ours.reshape(-1), tensor.float().reshape(-1)), name
            if isinstance(stored, IntegerTensor):
                shape, exact = pack_scaled.kept_shape(
                    checkpoint.describe(name), checkpoint.form(name), allow_lossy=False
                )
                assert exact and shape.layout.name == ("INT4" if symmetric else "INT5")
                packed = pack_scaled.pack_scaled(name, stored, shape)
                assert np.array_equal(unpack(packed), ours.numpy())


def _with_parts(tensor: Int4Tensor, scale: torch.Tensor, zero: torch.Tensor) -> Int4Tensor:
    return Int4Tensor(
        tensor.qdata, scale, zero, tensor.block_size, tensor.shape,
        activation_dtype=tensor.activation_dtype,
    )  # fmt: skip


def _all_with(tensors: dict[str, torch.Tensor], scale: float, zero: float) -> None:
    for name, tensor in tensors.items():
        if isinstance(tensor, Int4Tensor):
            factors = torch.full_like(tensor.scale, scale), torch.full_like(tensor.zero_point, zero)
            tensors[name] = _with_parts(tensor, *factors)


def test_fractional_zero_points_cost_what_is_said(tmp_path: Path) -> None:
    """HQQ's zero points are no integers: float16 holds the minimum of a group only nearly."""
    tensors = _quantized(symmetric=False)
    for name, tensor in tensors.items():
        if isinstance(tensor, Int4Tensor):
            zero = (tensor.zero_point + 0.37).to(torch.bfloat16)
            tensors[name] = _with_parts(tensor, tensor.scale, zero)
    with open_checkpoint(_save(tmp_path, tensors)) as checkpoint:
        stored, form = checkpoint.read(UP), checkpoint.form(UP)
        values = dequantize(UP, stored)
        assert torch.equal(values, dequantize_weight(tensors[UP], torch.float32))
        shape, exact = pack_scaled.kept_shape(checkpoint.describe(UP), form, allow_lossy=False)
        packed = pack_scaled.pack_scaled(UP, stored, shape)  # type: ignore[arg-type]
        assert (exact, shape.layout.name) == (False, "INT4_MIN")
        loss = float((torch.from_numpy(unpack(packed)) - values).norm() / values.norm())
        print(
            f"fractional zero points in INT4_MIN: loss {loss:.1e}, {loss / 6e-4:.0%} of the bound"
        )
        assert 0 < loss < 6e-4 and packed.loss == pytest.approx(loss, rel=1e-3)


def test_a_convention_that_cannot_be_told_is_refused(tmp_path: Path) -> None:
    tensors = _quantized(symmetric=True)
    _all_with(tensors, scale=2.0, zero=8.0)  # 8 steps, or 8 in the weight's own units
    folder = _save(tmp_path, tensors, prefix="model.")
    with pytest.raises(FormatError, match=r"whose convention cannot be told: torchao's .* says"):
        open_checkpoint(folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "torchao"}
    (folder / "config.json").write_text(json.dumps(config))
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.form(UP) is None  # torchao's own


def test_torchaos_own_convention_needs_no_statement(tmp_path: Path) -> None:
    tensors = _quantized(symmetric=True)
    _all_with(tensors, scale=0.01, zero=0.0)
    with open_checkpoint(_save(tmp_path, tensors)) as checkpoint:
        info = checkpoint.describe(UP)
        assert info.encoding == "Int4Tensor" and checkpoint.form(UP) is None


def test_damaged_zero_points_are_refused(tmp_path: Path) -> None:
    tensors = _quantized(symmetric=True)
    largest = tensors["lm_head.weight"]
    assert isinstance(largest, Int4Tensor)
    tensors["lm_head.weight"] = _with_parts(
        largest, largest.scale, torch.full_like(largest.zero_point, 1000.0)
    )
    sentence = "a zero point that is not within -16 and 31"
    with (
        open_checkpoint(_save(tmp_path, tensors)) as checkpoint,
        pytest.raises(FormatError, match=sentence),
    ):
        checkpoint.read("lm_head.weight")
