"""Checkpoints in each form that is read, and the values that the form's own library reads from them.

The library writes them where it can be had; GPTQ's, AWQ's and ModelOpt's tensors are written from their
descriptions, and their bytes are those of the libraries (python/checkpoint/gptq_awq_test.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from cyllama.llama import llama_cpp
from executorch.extension.llm.export.quant import (
    QuantConfig,
    QuantRecipe,
    QuantRule,
    dequantize_weight,
    quantize_stream,
)
from safetensors.torch import load_file, save_file
from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
from torchao.quantization import IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerGroup
from transformers import FineGrainedFP8Config, Gemma4ForCausalLM
from transformers.integrations.finegrained_fp8 import Fp8Dequantize, Fp8Quantize

from python.checkpoint import ggml_types
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.stored_names import canonical_from_gguf, gguf_from_canonical
from python.checkpoint.testing import compressed_folders, modelopt_parts, tiny_gguf
from python.checkpoint.testing.column_words import awq_parts, gptq_parts
from python.checkpoint.testing.compressed_folders import integers, preset
from python.model.gemma_config import GemmaConfig
from python.quant.recipe import recipe
from python.quant.store import store
from python.quant.store.testing.transformers_model import loaded_model, values_of

# A checkpoint's path, and its quantized matrices as its own library dequantizes them: transformers' names ->
# float32 [rows, columns].
Written = tuple[Path, Mapping[str, torch.Tensor]]
# The tensors that stand for one matrix, and its values.
Parts = tuple[dict[str, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Form:
    """write: gets an empty folder and a bfloat16 model, which it may change.

    rounded: the largest relative error of a matrix in the artifact; 0.0: it has the very values.
    """

    write: Callable[[Path, Gemma4ForCausalLM], Written]
    rounded: float = 0.0


def _compressed(schemes: Callable[[], dict[str, Any]]) -> Callable[[Path, Any], Written]:
    def write(folder: Path, model: Any) -> Written:
        compressed_folders.write_folder(folder, model, schemes())
        return folder, dict(compressed_folders.dequantized(folder, torch.float32))

    return write


def _replaced(
    parts_of: Callable[[str, torch.Tensor], Parts], quantization: Mapping[str, Any]
) -> Callable[[Path, Any], Written]:
    """The model's folder with the parts of each Linear's weight in its place; the head is tied."""

    def write(folder: Path, model: Any) -> Written:
        model.save_pretrained(folder)
        tensors, values = load_file(folder / "model.safetensors"), {}
        for module in _linears(model):
            weight = tensors.pop(f"{module}.weight").float()
            parts, values[f"{module}.weight"] = parts_of(module, weight)
            tensors |= {f"{module}.{part}": tensor for part, tensor in parts.items()}
        save_file(tensors, folder / "model.safetensors")
        _add_to_config(folder, quantization)
        return folder, values

    return write


def _linears(model: Any) -> list[str]:
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    ]


def _add_to_config(folder: Path, quantization: Mapping[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = dict(quantization)
    (folder / "config.json").write_text(json.dumps(config))


def _columns(weight: torch.Tensor, group: int, *, symmetric: bool) -> tuple[torch.Tensor, ...]:
    """4 bits: q from 0 and its values, [rows, columns]; float16 scale and zero, [rows, groups]."""
    w = weight.reshape(weight.shape[0], -1, group)
    low, high = w.amin(-1).clamp(max=0), w.amax(-1).clamp(min=0)
    scale = (w.abs().amax(-1) / 7 if symmetric else (high - low) / 15).to(torch.float16)
    zero = torch.full_like(low, 8) if symmetric else (-low / scale).round().clamp(1, 15)
    q = ((w / scale.unsqueeze(-1)).round() + zero.unsqueeze(-1)).clamp(0, 15)
    values = (q - zero.unsqueeze(-1)) * scale.float().unsqueeze(-1)
    return q.to(torch.int64).flatten(1), values.flatten(1), scale, zero.to(torch.int64)


def _gptq(group: int, *, symmetric: bool, second_format: bool) -> Callable[[Path, Any], Written]:
    def parts_of(_: str, weight: torch.Tensor) -> Parts:
        q, values, scale, zero = _columns(weight, group, symmetric=symmetric)
        return gptq_parts(q, scale, zero, bits=4, second_format=second_format), values

    written_as = "gptq_v2" if second_format else "gptq"
    return _replaced(parts_of, {
        "quant_method": "gptq", "bits": 4, "group_size": group, "sym": symmetric, "desc_act": False,
        "checkpoint_format": written_as,
    })  # fmt: skip


def _awq(_: str, weight: torch.Tensor) -> Parts:
    q, values, scale, zero = _columns(weight, 128, symmetric=False)
    return awq_parts(q, scale, zero), values


_AWQ_CONFIG = {
    "quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm",
}  # fmt: skip


def _modelopt(module: str, weight: torch.Tensor) -> Parts:
    """FP8 in the attention, NVFP4 in the rest, as its mixed precision has it."""
    kind = modelopt_parts.fp8_parts if "self_attn" in module else modelopt_parts.nvfp4_parts
    return kind(weight)


class _Float8:
    """transformers' own quantizer, which needs a GPU only for products."""

    def __init__(self) -> None:
        self.quantization_config = FineGrainedFP8Config(weight_block_size=(128, 128))

    def parts_of(self, module: str, weight: torch.Tensor) -> Parts:
        stored = Fp8Quantize(self).convert({f"{module}.weight": weight})
        parts = {name.rpartition(".")[2]: tensor for name, tensor in stored.items()}
        assert parts["weight"].dtype == torch.float8_e4m3fn
        return parts, Fp8Dequantize(self).convert({name: [it] for name, it in parts.items()})[
            "weight"
        ]


def _write_transformers_float8(folder: Path, model: Any) -> Written:
    quantizer = _Float8()
    write = _replaced(
        quantizer.parts_of, json.loads(quantizer.quantization_config.to_json_string())
    )
    return write(folder, model)


def _write_executorch(folder: Path, model: Any) -> Written:
    """ExecuTorch's example: no prefix, a head of its own, zero points in the MLP alone."""
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    weights = {name.removeprefix("model."): it for name, it in model.state_dict().items()}
    weights["lm_head.weight"] = weights["embed_tokens.weight"] * 1.1

    def config(bits: int, group: int, symmetric: bool) -> QuantConfig:
        return QuantConfig(bits=bits, group_size=group, symmetric=symmetric, method="min_max")

    rules = [
        QuantRule(r"embed_tokens\.weight", config(8, model.config.hidden_size, True)),
        QuantRule(r".*norm\.weight", None),
        QuantRule(r".*mlp.*\.weight", config(4, 32, False)),
        QuantRule(r".*\.weight", config(4, 32, True)),
    ]
    stream = quantize_stream(weights.items(), QuantRecipe(rules=rules), dtype=torch.bfloat16)
    return _save_torchao(
        folder, dict(stream), lambda tensor: dequantize_weight(tensor, torch.float32)
    )


def _write_torchao(folder: Path, model: Any) -> Written:
    """torchao's own integers: 4 bits in the attention, 8 in the rest."""
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    for layer in model.model.layers:
        for part, dtype in ((layer.self_attn, torch.int4), (layer.mlp, torch.int8)):
            quantize_(part, IntxWeightOnlyConfig(weight_dtype=dtype, granularity=PerGroup(32)))
    tensors = {name: it.data for name, it in model.state_dict().items() if name != "lm_head.weight"}
    return _save_torchao(folder, tensors, lambda tensor: values_of(tensor, slice(None)))


def _save_torchao(
    folder: Path, tensors: Mapping[str, torch.Tensor], values: Callable[[Any], torch.Tensor]
) -> Written:
    data, metadata = flatten_tensor_state_dict({name: it.data for name, it in tensors.items()})
    save_file(data, folder / "model.safetensors", metadata=metadata)
    return folder, {
        name if name.startswith(("model.", "lm_head.")) else f"model.{name}": values(tensor)
        for name, tensor in tensors.items()
        if type(tensor.data) is not torch.Tensor
    }


def _write_store(folder: Path, model: Any) -> Written:
    """The folder of python/quant, as transformers loads it."""
    model.save_pretrained(folder / "plain")
    with open_checkpoint(folder / "plain") as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        rules = recipe("default", checkpoint.config.num_layers, folder)
        settings = store.Settings(progress="none")
        store.quantize_checkpoint(checkpoint, rules, folder / "quantized", settings)
    theirs = loaded_model(folder / "quantized")
    return folder / "quantized", {
        name: values_of(parameter.data, slice(None))
        for name, parameter in theirs.named_parameters()
    }


# llama.cpp's file types (llama.h, llama_ftype), and the weights that are taken from such a file.
_ATTENTION, _MLP = "layers.{}.self_attn.{}_proj.weight", "layers.{}.mlp.{}_proj.weight"
_GGUF_TYPES: Mapping[str, tuple[int, str]] = {
    "F16": (1, "embed_tokens.weight"),
    "Q4_0": (2, _ATTENTION.format(0, "q")),
    "Q4_1": (3, _ATTENTION.format(0, "k")),
    "Q5_0": (8, _ATTENTION.format(0, "v")),
    "Q5_1": (9, _ATTENTION.format(0, "o")),
    "Q8_0": (7, _MLP.format(0, "gate")),
    "Q3_K": (11, _MLP.format(0, "up")),
    "Q4_K": (14, _MLP.format(1, "down")),
    "Q5_K": (16, _ATTENTION.format(1, "q")),
    "Q6_K": (18, _ATTENTION.format(1, "k")),
    "IQ4_NL": (25, _ATTENTION.format(1, "o")),
    "IQ4_XS": (30, _MLP.format(1, "up")),
    "BF16": (32, _MLP.format(0, "down")),
    "Q2_K": (10, _MLP.format(1, "gate")),
}


def _gguf(kinds: tuple[str, ...]) -> Callable[[Path, Any], Written]:
    """A file whose weights llama.cpp quantized, each in a type of its own; the others are F32."""

    def write(folder: Path, model: Any) -> Written:
        model.save_pretrained(folder)
        with open_checkpoint(folder) as checkpoint:
            config = checkpoint.config
        weights = {
            name.removeprefix("model."): it.float().numpy()
            for name, it in model.state_dict().items()
        }
        source, tensors = _plain_gguf(folder, config, weights), {}
        for kind in kinds:
            number, name = _GGUF_TYPES[kind]
            tensors[name] = _quantized(source, number, name, kind)

        def encode(name: str, shape: tuple[int, ...]) -> tuple[GgmlType, np.ndarray]:
            return tensors.get(name) or (ggml_types.F32, weights[name].reshape(shape))

        path = folder / "mixed.gguf"
        path.write_bytes(tiny_gguf.without_tokenizer(config, encode))
        return path, dict(_gguf_values(path, config))

    return write


def _plain_gguf(folder: Path, config: GemmaConfig, weights: Mapping[str, np.ndarray]) -> Path:
    path = folder / "plain.gguf"
    path.write_bytes(
        tiny_gguf.build(config, lambda name, shape: (ggml_types.F32, weights[name].reshape(shape)))
    )
    return path


def _quantized(source: Path, number: int, name: str, kind: str) -> tuple[GgmlType, np.ndarray]:
    path = source.with_name("one_type.gguf")
    parameters = llama_cpp.LlamaModelQuantizeParams()
    parameters.ftype, parameters.nthread = number, 1
    llama_cpp.model_quantize(str(source), str(path), parameters)
    (found,) = (it for it in gguf.GGUFReader(path).tensors if it.name == gguf_from_canonical(name))
    assert found.tensor_type.name == kind, f"{name} is {found.tensor_type.name}, not {kind}"
    return ggml_types.BY_NAME[kind], np.array(found.data)


def _gguf_values(path: Path, config: GemmaConfig) -> Any:
    for tensor in gguf.GGUFReader(path).tensors:
        name = canonical_from_gguf(tensor.name, config)
        values = np.array(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if name is not None and values.ndim == 2:
            yield f"model.{name}", torch.from_numpy(values)


FORMS: Mapping[str, Form] = {
    "compressed-tensors: w4a16 by 32": Form(write=_compressed(lambda: {"g": integers(4, 32)})),
    "compressed-tensors: w4a16 by 64 with zero points, and w8a8": Form(
        write=_compressed(lambda: {
            "g": integers(4, 64, symmetric=False), "h": preset("W8A8", "re:.*mlp.down_proj"),
        })
    ),
    "compressed-tensors: nvfp4": Form(write=_compressed(lambda: {"g": preset("NVFP4A16")})),
    "compressed-tensors: fp8 by rows, by blocks, and whole": Form(
        write=_compressed(lambda: {
            "g": preset("FP8_DYNAMIC"), "h": preset("FP8_BLOCK", "re:.*mlp.gate_proj"),
            "i": preset("FP8", "re:.*mlp.down_proj"),
        }),
        rounded=8e-3,
    ),
    "transformers: fp8 by blocks": Form(write=_write_transformers_float8, rounded=8e-3),
    "ModelOpt: nvfp4, and fp8": Form(
        write=_replaced(_modelopt, {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}),
        rounded=8e-3,
    ),
    "GPTQ by 32": Form(write=_gptq(32, symmetric=True, second_format=False)),
    "GPTQ by 128 with zero points, second format": Form(
        write=_gptq(128, symmetric=False, second_format=True)
    ),
    "AWQ": Form(write=_replaced(_awq, _AWQ_CONFIG)),
    "AWQ in 4 bits": Form(write=_replaced(_awq, _AWQ_CONFIG), rounded=6e-4),
    "ExecuTorch": Form(write=_write_executorch),
    "torchao": Form(write=_write_torchao),
    "python/quant": Form(write=_write_store),
    "GGUF, 13 types": Form(write=_gguf(tuple(kind for kind in _GGUF_TYPES if kind != "Q2_K"))),
    "GGUF, Q2_K": Form(write=_gguf(("Q2_K",)), rounded=1e-2),
}  # fmt: skip
