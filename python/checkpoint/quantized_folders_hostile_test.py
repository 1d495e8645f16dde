"""Hostile quantized folders: each is refused in one sentence, in under 100 ms and 64 MB."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from python.checkpoint import torchao_metadata
from python.checkpoint.config_hf_json import config_json
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.testing.refusal_cost import check_cheap, refusal_of
from python.model.named_configs import tiny_gemma4
from python.model.weight_names import expected_weights
from python.quant.dequantize import dequantize

CONFIG = tiny_gemma4(num_layers=1)
ROWS, COLUMNS, GROUP = 512, 256, 32  # of up_proj
UP = "model.layers.0.mlp.up_proj"
Tensors = dict[str, torch.Tensor]


def _compressed(**weights: Any) -> dict[str, Any]:
    scheme = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group"}
    group = {"targets": ["Linear"], "weights": {**scheme, "group_size": GROUP, **weights}}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": group},
    }


def _words(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int32)


def _packed() -> Tensors:
    return {
        "weight_packed": _words(ROWS, COLUMNS // 8),
        "weight_scale": torch.ones(ROWS, COLUMNS // GROUP, dtype=torch.bfloat16),
        "weight_shape": torch.tensor([ROWS, COLUMNS]),
    }


def _asymmetric() -> Tensors:
    return {**_packed(), "weight_zero_point": _words(ROWS // 8, COLUMNS // GROUP)}


def _gptq() -> Tensors:
    return {
        "qweight": _words(COLUMNS // 8, ROWS),
        "qzeros": torch.full((COLUMNS // GROUP, ROWS // 8), 0x77777777, dtype=torch.int32),
        "scales": torch.ones(COLUMNS // GROUP, ROWS, dtype=torch.float16),
        "g_idx": (torch.arange(COLUMNS) // GROUP).to(torch.int32),
    }


def _awq() -> Tensors:
    return {
        "qweight": _words(COLUMNS, ROWS // 8),
        "qzeros": _words(COLUMNS // GROUP, ROWS // 8),
        "scales": torch.ones(COLUMNS // GROUP, ROWS, dtype=torch.float16),
    }


def _float8() -> Tensors:
    return {
        "weight": torch.ones(ROWS, COLUMNS).to(torch.float8_e4m3fn),
        "weight_scale": torch.ones(ROWS, 1),
    }


def _float8_blocks() -> Tensors:
    return {
        "weight": torch.ones(ROWS, COLUMNS).to(torch.float8_e4m3fn),
        "weight_scale_inv": torch.ones(ROWS // 128, COLUMNS // 128),
    }


def _float8_whole() -> Tensors:
    return {**_float8(), "weight_scale": torch.tensor(1.0)}


def _int8() -> Tensors:
    return {
        "weight": torch.ones(ROWS, COLUMNS, dtype=torch.int8),
        "weight_scale": torch.ones(ROWS, 1, dtype=torch.bfloat16),
    }


def _nvfp4() -> Tensors:
    return {
        "weight_packed": torch.zeros(ROWS, COLUMNS // 2, dtype=torch.uint8),
        "weight_scale": torch.ones(ROWS, COLUMNS // 16).to(torch.float8_e4m3fn),
        "weight_global_scale": torch.ones(1),
    }


def _nvfp4_modelopt() -> Tensors:
    packed, scale, _ = _nvfp4().values()
    return {"weight": packed, "weight_scale": scale, "weight_scale_2": torch.tensor(1.0)}


def _int4_tensor() -> Tensors:
    """torchao's; ExecuTorch's has zero points of 8."""
    return {
        "_weight_qdata": torch.zeros(ROWS, COLUMNS // 2, dtype=torch.uint8),
        "_weight_scale": torch.ones(COLUMNS // GROUP, ROWS, dtype=torch.bfloat16),
        "_weight_zero_point": torch.zeros(COLUMNS // GROUP, ROWS, dtype=torch.bfloat16),
    }


def _executorch() -> Tensors:
    zero = torch.full((COLUMNS // GROUP, ROWS), 8, dtype=torch.bfloat16)
    scale = torch.full_like(zero, 0.01)
    return {**_int4_tensor(), "_weight_scale": scale, "_weight_zero_point": zero}


def _int8_tensor() -> Tensors:
    return {
        "_weight_qdata": torch.ones(ROWS, COLUMNS, dtype=torch.int8),
        "_weight_scale": torch.ones(ROWS, COLUMNS // GROUP, dtype=torch.bfloat16),
        "_weight_zero_point": torch.zeros(ROWS, COLUMNS // GROUP, dtype=torch.int8),
    }


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "sym": True, "desc_act": False}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}
FLOAT8 = _compressed(num_bits=8, type="float", strategy="channel", group_size=None)
NVFP4 = _compressed(type="float", strategy="tensor_group", group_size=16)
FORMS: dict[str, tuple[Callable[[], Tensors], dict[str, Any]]] = {
    "packed": (_packed, _compressed()),
    "asymmetric": (_asymmetric, _compressed(symmetric=False)),
    "gptq": (_gptq, GPTQ),
    "awq": (_awq, AWQ),
    "float8": (_float8, FLOAT8),
    "float8 in blocks": (_float8_blocks, {"quant_method": "fp8", "weight_block_size": [128, 128]}),
    "float8 under one scale": (_float8_whole, {"quant_method": "modelopt", "quant_algo": "FP8"}),
    "int8": (_int8, _compressed(num_bits=8, strategy="channel", group_size=None)),
    "nvfp4": (_nvfp4, NVFP4),
    "nvfp4 of ModelOpt": (_nvfp4_modelopt, {"quant_method": "modelopt", "quant_algo": "NVFP4"}),
    "Int4Tensor": (_int4_tensor, {"quant_method": "torchao"}),
    "Int4Tensor of ExecuTorch": (_executorch, {}),
    "IntxUnpackedToInt8Tensor": (_int8_tensor, {"quant_method": "torchao"}),
}
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "Int4Tensor": {"block_size": [1, GROUP], "shape": [ROWS, COLUMNS]},
    "IntxUnpackedToInt8Tensor": {
        "block_size": [1, GROUP], "target_dtype": {"_type": "torch.dtype", "_data": "int8"},
    },
}  # fmt: skip


@functools.cache
def _others() -> Tensors:
    """Every other weight, plain."""
    return {
        f"model.{name}": torch.ones(shape, dtype=torch.bfloat16)
        for name, shape in expected_weights(CONFIG).items()
        if f"model.{name}" != f"{UP}.weight"
    }


def _metadata(form: str, parts: Mapping[str, torch.Tensor], **changes: Any) -> dict[str, str]:
    """Of the shard: what torchao's tensors are made of stands there."""
    attributes = ATTRIBUTES.get(form.removesuffix(" of ExecuTorch"))
    if attributes is None:
        return {}
    names = tuple(part.removeprefix("_weight_") for part in parts)
    class_name = form.removesuffix(" of ExecuTorch")
    return {f"{UP}.weight": torchao_metadata.entry(class_name, {**attributes, **changes}, names)}


def _write(
    folder: Path,
    parts: Mapping[str, torch.Tensor],
    quantization: object,
    metadata: dict[str, str] | None = None,
) -> Path:
    tensors = {**_others(), **{f"{UP}.{part}": tensor for part, tensor in parts.items()}}
    save_file(tensors, folder / "model.safetensors", metadata)
    values = config_json(CONFIG, torch.bfloat16) | {"quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def _refused(read: Callable[[], object], sentence: str) -> None:
    refusal = refusal_of(read)
    assert re.search(sentence, refusal.sentence), refusal.sentence
    check_cheap(refusal)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_damaged_below_is_read_whole(tmp_path: Path, form: str) -> None:
    make, quantization = FORMS[form]
    folder = _write(tmp_path, make(), quantization, _metadata(form, make()))
    with open_checkpoint(folder) as checkpoint:
        checkpoint.read("layers.0.mlp.up_proj.weight")


# What a form may lack: the order of its columns, and zero points that all are the middle.
OPTIONAL = {"gptq": {"g_idx", "qzeros"}}


def _damages(tensor: torch.Tensor) -> dict[str, torch.Tensor | None]:
    """What to put in a part's place; None: nothing."""
    return {
        "missing": None,
        "of another type": tensor.to(torch.float64),
        "a row short": tensor[:-1] if tensor.ndim else tensor.repeat(2),
        "a column long": torch.cat([tensor, tensor[..., :1]], -1) if tensor.ndim else tensor.repeat(3),
        "a size more": tensor.reshape(*tensor.shape, 1, 1, 1),
    }  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_part_of_every_form_is_checked(tmp_path: Path, form: str) -> None:
    """Shapes off by one, packed sizes off by one, scales of another type: one sentence each."""
    make, quantization = FORMS[form]
    parts = make()
    for part, tensor in parts.items():
        for how, other in _damages(tensor).items():
            if how == "missing" and part in OPTIONAL.get(form, set()):
                continue
            damaged = {**parts, part: other} if other is not None else _left_out(parts, part)
            folder = _write(tmp_path, damaged, quantization, _metadata(form, parts))
            print(f"{form}: {part} is {how}")
            _refused(functools.partial(_read, folder), "up_proj|config.json")


def _left_out(parts: Tensors, part: str) -> Tensors:
    return {name: tensor for name, tensor in parts.items() if name != part}


def _read(folder: Path) -> None:
    with open_checkpoint(folder) as checkpoint:
        dequantize("up_proj", checkpoint.read("layers.0.mlp.up_proj.weight"))


def _without(part: str) -> Callable[[Tensors], Any]:
    return lambda parts: parts.pop(part)


def _with(part: str, tensor: torch.Tensor) -> Callable[[Tensors], Any]:
    return lambda parts: parts.update({part: tensor})


PARTS: list[tuple[str, Callable[[Tensors], Any], str]] = [
    ("packed", _without("weight_scale"), "has no scale"),
    ("packed", _without("weight_shape"), "has no shape"),
    ("packed", _without("weight_packed"), f"holds {UP}.weight_scale, .* but no '{UP}.weight'"),
    ("packed", _with("weight_packed", _words(ROWS, 31)), r"packed of \[512, 31\], .* \[512, 32\]"),
    ("packed", _with("weight_packed", _words(ROWS, 33)), r"packed of \[512, 33\], .* \[512, 32\]"),
    ("packed", _with("weight_packed", _words(ROWS - 1, 32)), r"packed of \[511, 32\]"),
    ("packed", _with("weight_packed", torch.zeros(ROWS, 32)), "packed of F32 .read is I32"),
    ("packed", _with("weight_scale", torch.ones(ROWS, 8, dtype=torch.int32)), "scale of I32"),
    ("packed", _with("weight_scale", torch.ones(ROWS, 7)), r"scale of \[512, 7\]"),
    ("packed", _with("weight_scale", torch.ones(1)), r"scale of \[1\]"),
    ("packed", _with("weight_shape", torch.tensor([ROWS, COLUMNS, 1])), r"shape of \[3\]"),
    ("packed", _with("weight_shape", torch.tensor([512.0, 256.0])), "shape of F32"),
    ("packed", _with("weight_shape", torch.tensor([-1, COLUMNS])), "is a matrix of -1 x 256"),
    ("packed", _with("weight_shape", torch.tensor([ROWS, 1 << 62])), "is a matrix of 512 x 46116"),
    ("packed", _with("weight_shape", torch.tensor([1 << 62, COLUMNS])), "packed of .512, 32., its"),
    ("packed", _with("weight_shape", torch.tensor([ROWS, 255])), "groups of 32, which do not divi"),
    ("packed", _with("weight_shape", torch.tensor([ROWS, 0])), "is a matrix of 512 x 0"),
    ("packed", _with("weight_packed_2", _words(1)), "unknown tensor, gemma4 has no"),
    ("asymmetric", _without("weight_zero_point"), "has no zero_point, though"),
    ("asymmetric", _with("weight_zero_point", _words(63, 8)), r"zero_point of \[63, 8\]"),
    ("asymmetric", _with("weight_zero_point", torch.ones(64, 8)), "zero_point of F32"),
    ("gptq", _without("scales"), "has no scales"),
    ("gptq", _with("qweight", _words(31, ROWS)), "groups of 32, which do not divide 248"),
    ("gptq", _with("qweight", torch.zeros(32, ROWS)), "qweight of F32"),
    ("gptq", _with("qweight", _words(ROWS)), r"qweight of \[512\]"),
    ("gptq", _with("scales", torch.ones(8, ROWS - 8)), r"scales of \[8, 504\]"),
    ("gptq", _with("qzeros", _words(8, 63)), r"qzeros of \[8, 63\]"),
    ("gptq", _with("g_idx", _words(255)), r"g_idx of \[255\]"),
    ("awq", _without("qzeros"), "has no qzeros, though"),
    ("awq", _with("qweight", _words(COLUMNS - 1, 64)), "groups of 32, which do not divide 255"),
    ("awq", _with("scales", torch.ones(8, ROWS, dtype=torch.int8)), "scales of I8"),
    ("float8", _with("weight_scale", torch.ones(ROWS - 1, 1)), r"scale of \[511, 1\]"),
    ("float8", _with("weight_scale", torch.ones(ROWS, 1).to(torch.float8_e4m3fn)), "of F8_E4M3"),
    ("float8", _with("weight", torch.ones(ROWS).to(torch.float8_e4m3fn)), "which is no matrix"),
    ("float8", _with("weight", torch.ones(ROWS, COLUMNS)), "never carried out"),
    ("nvfp4", _without("weight_global_scale"), "has no scale for the whole matrix"),
    ("nvfp4", _without("weight_scale"), "has no scale"),
    ("nvfp4", _with("weight_scale", torch.ones(ROWS, 16)), "scale of F32"),
    ("nvfp4", _with("weight_scale", torch.ones(ROWS, 15).to(torch.float8_e4m3fn)), "512, 15"),
    ("nvfp4", _with("weight_global_scale", torch.ones(2)), r"global_scale of \[2\]"),
    ("nvfp4", _with("weight_packed", torch.zeros(ROWS, 126).byte()), "252 columns, no multiple"),
    ("nvfp4", _with("weight_packed", torch.zeros(ROWS, 120).byte()), r"scale of \[512, 16\]"),
    ("nvfp4 of ModelOpt", _with("pre_quant_scale", torch.ones(COLUMNS)), "pre_quant_scale: unknown"),
    ("int8", _without("weight_scale"), "up_proj.weight' has no scale"),
    ("float8", _without("weight_scale"), "up_proj.weight' has no scale"),
    ("float8 in blocks", _without("weight_scale_inv"), "up_proj.weight' has no scale"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "damage", "sentence"), PARTS)
def test_damaged_parts(
    tmp_path: Path, form: str, damage: Callable[[Tensors], Any], sentence: str
) -> None:
    make, quantization = FORMS[form]
    parts = make()
    damage(parts)
    folder = _write(tmp_path, parts, quantization)
    _refused(lambda: open_checkpoint(folder), sentence)


VALUES: list[tuple[str, Callable[[Tensors], Any], str]] = [
    ("packed", _with("weight_scale", torch.full((ROWS, 8), torch.nan)), "scale that is not finite"),
    ("packed", _with("weight_zero_point", _words(64, 8)), "has zero points, though the config"),
    ("packed", _with("weight_g_idx", _words(COLUMNS)), r"reordered by activations \(g_idx\)"),
    ("gptq", _with("g_idx", _words(COLUMNS)), r"reordered by activations \(g_idx\)"),
    ("gptq", _with("qzeros", _words(8, 64)), "has zero points, though the configuration calls"),
    ("nvfp4", _with("weight_global_scale", torch.zeros(1)), "scale of 0.0 for the whole matrix"),
    ("nvfp4", _with("weight_global_scale", torch.full((1,), torch.nan)), "scale of nan for the"),
    (
        "nvfp4",
        _with("weight_scale", torch.full((ROWS, 16), torch.nan).to(torch.float8_e4m3fn)),
        "scale that is no number",
    ),
    ("awq", _with("scales", torch.full((8, ROWS), torch.inf)), "scale that is not finite"),
    ("float8", _with("weight_scale", torch.full((ROWS, 1), torch.inf)), "scale that is not finite"),
    (
        "float8",
        _with("weight", torch.full((ROWS, COLUMNS), torch.nan).to(torch.float8_e4m3fn)),
        "weight that is no number",
    ),
    (
        "float8",
        _with("weight", torch.full((ROWS, COLUMNS), 0xFF).byte().view(torch.float8_e4m3fn)),
        "weight that is no number",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("form", "damage", "sentence"), VALUES)
def test_damaged_values(
    tmp_path: Path, form: str, damage: Callable[[Tensors], Any], sentence: str
) -> None:
    make, quantization = FORMS[form]
    parts = make()
    damage(parts)
    with open_checkpoint(_write(tmp_path, parts, quantization)) as checkpoint:
        _refused(lambda: checkpoint.read("layers.0.mlp.up_proj.weight"), sentence)


def _changed(base: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {**base, **changes}


def _targets(*targets: Any) -> dict[str, Any]:
    config = _compressed()
    config["config_groups"]["group_0"]["targets"] = list(targets)
    return config


CONFIGS: list[tuple[str, Any, str]] = [
    ("packed", [], "'quantization_config' of config.json must be an object"),
    ("packed", 7, "'quantization_config' of config.json must be an object"),
    ("packed", {}, "has no quantization_config of 'compressed-tensors'"),
    ("packed", {"quant_method": "gptq"}, "has no quantization_config of 'compressed-tensors'"),
    ("packed", {"quant_method": ["x"]}, "has no quantization_config of 'compressed-tensors'"),
    ("packed", {"quant_method": "compressed-tensors"}, "has no 'config_groups'"),
    ("packed", _changed(_compressed(), config_groups=[]), "'config_groups' .* must be an object"),
    ("packed", _changed(_compressed(), config_groups={"a": 1}), "'a' of config_groups must be an"),
    (
        "packed",
        _changed(_compressed(), config_groups={str(i): {} for i in range(1000)}),
        "has 1000 groups, at most 256",
    ),
    ("packed", _compressed(num_bits="4"), "'num_bits' .* must be an integer, it is a string"),
    ("packed", _compressed(num_bits=True), "'num_bits' .* must be an integer, it is a boolean"),
    ("packed", _compressed(num_bits=1 << 40), "'num_bits' .* is 1099511627776, not within"),
    ("packed", _compressed(num_bits=9), "has 9 bits"),
    ("packed", _compressed(num_bits=8), r"packed of \[512, 32\], .* need \[512, 64\]"),
    ("packed", _compressed(type="complex"), "'type' .* is 'complex', none of int, float"),
    ("packed", _compressed(type="float"), "says otherwise, but .* is stored as integers"),
    ("packed", _compressed(group_size=0), "'group_size' .* is 0"),
    ("packed", _compressed(group_size=48), "groups of 48, which do not divide 256"),
    ("packed", _compressed(group_size=-2), "'group_size' .* is -2, not within"),
    ("packed", _compressed(group_size=None), "is 'group', but there is no group_size"),
    ("packed", _compressed(symmetric="yes"), "'symmetric' .* must be true or false"),
    ("packed", _compressed(symmetric=False), "has no zero_point, though"),
    ("packed", _compressed(strategy="spiral"), "'strategy' .* is 'spiral', none of"),
    ("packed", _compressed(strategy="block"), "has no 'block_structure'"),
    ("packed", _compressed(strategy="block", block_structure=[0, 1]), "must be two sizes"),
    ("packed", _compressed(actorder="group"), "columns reordered by activations are not read"),
    ("packed", _compressed(actorder=True), "columns reordered by activations are not read"),
    ("packed", _changed(_compressed(), transform_config={"a": 1}), "asks for transforms, which"),
    ("packed", _changed(_compressed(), sparsity_config={"format": "sparse-24"}), "for sparsity"),
    ("packed", _targets(), "has no config group with .*up_proj.weight' among its targets"),
    ("packed", _targets("Conv2d", "re:.*down_proj"), "has no config group with"),
    ("packed", _targets(3), "'targets' .* must hold strings"),
    ("packed", _targets("re:("), "is no regular expression"),
    ("packed", _targets("re:(a+)+$"), "repeats a group, which is not read"),
    ("packed", _targets("re:" + ".*" * 6), "has more than 5 repetitions"),
    ("packed", _targets("re:" + "a" * 3000), "an expression has 3000 characters"),
    ("packed", _targets(*map(str, range(1 << 15))), "are more than 16384"),
    ("gptq", {}, "says quant_method None, but .* is stored as qweight"),
    ("gptq", _changed(GPTQ, bits="4"), "'bits' .* must be an integer"),
    ("gptq", _changed(GPTQ, bits=3), "words a row, which 3 bits do not fill|do not fill words"),
    ("gptq", _changed(GPTQ, group_size=7), "groups of 7, which do not divide 256"),
    ("gptq", _changed(GPTQ, group_size=0), "groups of 0, which do not divide 256"),
    ("gptq", _changed(GPTQ, sym="true"), "'sym' .* must be true or false"),
    ("awq", _changed(AWQ, version="gemv"), "'version' .* is 'gemv'; only 'gemm' is read"),
    ("awq", _changed(AWQ, bits=8), "has 8 bits, which AWQ does not write"),
    ("float8", _compressed(), "says otherwise, but .* is stored as F8_E4M3"),
    ("nvfp4", _compressed(type="float"), "but not as NVFP4"),
    ("nvfp4", _compressed(), "but not as NVFP4"),
    ("float8", {"quant_method": "bitsandbytes"}, "is quantized with 'bitsandbytes', which is not"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "quantization", "sentence"), CONFIGS)
def test_hostile_configurations(
    tmp_path: Path, form: str, quantization: object, sentence: str
) -> None:
    folder = _write(tmp_path, FORMS[form][0](), quantization)
    _refused(lambda: open_checkpoint(folder), sentence)


@pytest.mark.parametrize("form", FORMS)
def test_a_huge_configuration(tmp_path: Path, form: str) -> None:
    make, quantization = FORMS[form]
    config = _changed(quantization, ignore=["x" * 60] * (1 << 15))
    folder = _write(tmp_path, make(), config, _metadata(form, make()))
    _refused(lambda: open_checkpoint(folder), "is larger than 1048576 bytes")


_INT3 = {"_type": "torch.dtype", "_data": "int3"}
TORCHAO: list[tuple[str, dict[str, Any], str]] = [
    ("Int4Tensor", {"block_size": [1, 0]}, r"block_size \[1, 0\] is not read"),
    ("Int4Tensor", {"block_size": [2, 32]}, r"block_size \[2, 32\] is not read"),
    ("Int4Tensor", {"block_size": [1, 1 << 62]}, "group 4611686018427387904 does not divide 256"),
    ("Int4Tensor", {"block_size": [1, 48]}, "group 48 does not divide 256"),
    ("Int4Tensor", {"block_size": [1, 64]}, r"scale has \(512, 8\), \(512, 4\) are needed"),
    ("Int4Tensor", {"block_size": [1] * 100_000}, r"block_size \[1, 1, .* is not read"),
    ("Int4Tensor", {"block_size": "x" * 100_000}, "block_size 'xxx.* is not read"),
    ("Int4Tensor of ExecuTorch", {"block_size": [1, 0]}, r"block_size of \[1, 0\]"),
    ("Int4Tensor of ExecuTorch", {"block_size": [1, 1 << 62]}, "4611686018427387904"),
    ("Int4Tensor of ExecuTorch", {"block_size": ["x"] * 100_000}, r"block_size of \['x', 'x'"),
    ("IntxUnpackedToInt8Tensor", {"target_dtype": _INT3}, "target_dtype .*int3.* is not read"),
    ("IntxUnpackedToInt8Tensor", {"target_dtype": ["x"] * 100_000}, "target_dtype .* is not read"),
    ("IntxUnpackedToInt8Tensor", {"target_dtype": None}, "target_dtype None is not read"),
    ("IntxUnpackedToInt8Tensor", {"block_size": [1, 96]}, "group 96 does not divide 256"),
]


@pytest.mark.parametrize(("form", "changes", "sentence"), TORCHAO)
def test_hostile_attributes_of_torchao(
    tmp_path: Path, form: str, changes: dict[str, Any], sentence: str
) -> None:
    make, quantization = FORMS[form]
    folder = _write(tmp_path, make(), quantization, _metadata(form, make(), **changes))
    _refused(lambda: _read(folder), sentence)
