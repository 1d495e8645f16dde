"""For tests: folders that the compressed-tensors library itself writes, and what it reads from them.

The model is a tiny random one of transformers; scales and zero points are the library's choice for
the range of each group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.compressors import BaseCompressor, ModelCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    QuantizationStatus,
    apply_quantization_config,
)
from compressed_tensors.quantization.lifecycle.forward import dequantize
from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from safetensors.torch import load_file


def integers(
    bits: int, group: int | None, *, symmetric: bool = True, targets: tuple[str, ...] = ("Linear",)
) -> QuantizationScheme:
    """Weights alone, in integers; group None: one scale a row."""
    strategy = "channel" if group is None else "group"
    weights = QuantizationArgs(
        num_bits=bits, symmetric=symmetric, strategy=strategy, group_size=group
    )
    return QuantizationScheme(targets=list(targets), weights=weights)


def preset(name: str, *targets: str) -> QuantizationScheme:
    """One of the library's own schemes, such as FP8_BLOCK."""
    return preset_name_to_scheme(name, list(targets or ("Linear",)))


def write_folder(
    folder: Path,
    model: Any,
    schemes: Mapping[str, QuantizationScheme],
    ignore: tuple[str, ...] = ("lm_head",),
) -> None:
    """Quantizes a transformers model in place and saves it as the library does."""
    config = QuantizationConfig(
        config_groups=dict(schemes),
        ignore=list(ignore),
        quantization_status=QuantizationStatus.FROZEN,
    )
    apply_quantization_config(model, config)
    for module in model.modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None and scheme.weights is not None:
            _choose(module, scheme.weights)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)


def _choose(module: Any, args: QuantizationArgs) -> None:
    """Scale and zero point from the smallest and the largest weight of each group."""
    low, high = _ranges(module.weight.data.float(), args)
    overall = None
    if hasattr(module, "weight_global_scale"):
        overall = generate_gparam(low.min(), high.max())
        module.weight_global_scale.data = overall
    scale, zero = calculate_qparams(low, high, args, global_scale=overall)
    module.weight_scale.data = scale.to(module.weight_scale.dtype)
    if hasattr(module, "weight_zero_point"):
        module.weight_zero_point.data = zero.to(module.weight_zero_point.dtype)


def _ranges(weight: torch.Tensor, args: QuantizationArgs) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest of each group; weight: [rows, columns]."""
    if args.strategy in ("group", "tensor_group"):
        groups = weight.reshape(weight.shape[0], -1, args.group_size)
        return groups.amin(-1), groups.amax(-1)
    if args.strategy == "channel":
        return weight.amin(-1, keepdim=True), weight.amax(-1, keepdim=True)
    if args.strategy == "block":
        height, width = args.block_structure
        rows, columns = weight.shape
        blocks = weight.reshape(rows // height, height, columns // width, width)
        return blocks.amin((1, 3)), blocks.amax((1, 3))
    return weight.amin()[None], weight.amax()[None]


def dequantized(folder: Path, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """Each quantized weight of a folder as the library decompresses it with scales in `dtype`."""
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    schemes = QuantizationConfig.model_validate(config).config_groups
    stored = load_file(folder / "model.safetensors")
    for name in sorted(stored):
        if not name.endswith(("weight_packed", "proj.weight")):
            continue
        module = name.rpartition(".")[0]
        parts = {
            key.removeprefix(f"{module}."): value
            for key, value in stored.items()
            if key.startswith(f"{module}.")
        }
        if "weight_scale" not in parts:
            continue
        scheme = _scheme_of(module, schemes)
        if scheme.format == "nvfp4-pack-quantized":
            yield f"{module}.weight", _nvfp4(parts, scheme.weights, dtype)
            continue
        parts["weight_scale"] = parts["weight_scale"].to(dtype)
        compressor = BaseCompressor.get_value_from_registry(scheme.format)
        yield f"{module}.weight", compressor.decompress(parts, scheme)["weight"]


def _nvfp4(
    parts: Mapping[str, torch.Tensor], args: QuantizationArgs, dtype: torch.dtype
) -> torch.Tensor:
    """What the library's decompressor does, which itself knows bfloat16 alone."""
    packed = parts["weight_packed"]
    rows, pairs = packed.shape
    values: torch.Tensor = dequantize(
        x_q=unpack_fp4_from_uint8(packed, rows, 2 * pairs, dtype=dtype),
        scale=parts["weight_scale"].to(dtype),
        args=args,
        global_scale=parts["weight_global_scale"],
        dtype=dtype,
    )
    return values


def _scheme_of(module: str, schemes: Mapping[str, Any]) -> QuantizationScheme:
    """The first group with a target that ends the module's name, else the group of all Linears."""
    named = [
        scheme
        for scheme in schemes.values()
        if any(module.endswith(target.removeprefix("re:.*")) for target in scheme.targets)
    ]
    everything = [scheme for scheme in schemes.values() if "Linear" in scheme.targets]
    return [*named, *everything][0]
