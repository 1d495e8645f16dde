"""One weight at a time, from what a checkpoint stores to what a recipe wants."""

from collections.abc import Callable
from dataclasses import replace

import torch

from python.checkpoint import quantized
from python.checkpoint.quantized import QuantizedTensor
from python.checkpoint.tensor import (
    BlockTensor,
    Fp4Tensor,
    IntegerTensor,
    StoredTensor,
    TorchaoTensor,
)
from python.console.errors import UserError
from python.pack import pack
from python.pack.layouts import WeightShape
from python.quant import gguf_import
from python.quant.dequantize import dequantize
from python.quant.methods.hqq import quantize_hqq, quantize_hqq_scale
from python.quant.methods.lattice import exact_groups, quantize_lattice
from python.quant.methods.min_max import quantize_min_max
from python.quant.recipe import QuantConfig, QuantRecipe

_FLOATS = (torch.float32, torch.float16, torch.bfloat16)
_CHECKED_ROWS = 1024


def prepare(name: str, tensor: StoredTensor, recipe: QuantRecipe) -> StoredTensor | QuantizedTensor:
    """The weight as the recipe wants it: quantized, or as stored where the recipe keeps it.

    Integers and NVFP4 stay what they are under every recipe: who quantized them had more to go by.
    """
    config = recipe.config_for(name)
    if config is None or isinstance(tensor, IntegerTensor | Fp4Tensor):
        return tensor
    return quantize_stored(name, tensor, config)


def quantize_stored(name: str, tensor: StoredTensor, config: QuantConfig) -> QuantizedTensor:
    """Quantizes what a checkpoint stores.

    GGUF blocks that are already in the wanted form keep their exact values, and so does a tensor of
    a quantized store; a store's tensor in another form is refused, since rounding it anew would
    lose what its method gained. Raises UserError, naming the weight.
    """
    if isinstance(tensor, TorchaoTensor):
        return _keep_quantized(name, tensor, config)
    if isinstance(tensor, BlockTensor):
        imported = gguf_import.import_exactly(tensor, config)
        if imported is not None:
            return replace(imported, exact_groups=imported.scale.numel())
    return quantize_weight(name, dequantize(name, tensor), config)


def _keep_quantized(name: str, tensor: TorchaoTensor, config: QuantConfig) -> QuantizedTensor:
    stored = quantized.from_torchao(name, tensor)
    try:
        check_same_shape(
            pack.quantized_shape(stored), config.shape_of(name, stored.rows, stored.columns)
        )
    except UserError as error:
        raise UserError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from None
    return stored


def check_same_shape(stored: WeightShape, wanted: WeightShape) -> None:
    """Raises UserError unless a weight of a quantized store is what a recipe wants of it."""
    if stored != wanted:
        raise UserError(
            f"it is stored as {stored.layout.name} in groups of {stored.group} already, and the "
            f"recipe would quantize it again to {wanted.layout.name} in groups of {wanted.group} "
            "(use --recipe none to keep it, or export the checkpoint that it was made from)"
        )


def quantize_weight(
    name: str, weight: torch.Tensor, config: QuantConfig, device: str = "cpu"
) -> QuantizedTensor:
    """Quantizes a matrix [rows, columns] of float32, float16 or bfloat16 on the CPU or on CUDA.

    Raises UserError, naming the weight, for another shape or type,
    or for a number that is not finite.
    """
    group = check_matrix(name, weight, config)
    if config.calibrated:
        raise UserError(
            f"{name}: method {config.method!r} needs a calibration text; quantize the checkpoint "
            "first, with `./bazelw run //python/quant:gemma4_31b -- --calibration_text FILE`"
        )
    result = _METHODS[config.method](weight, config, group, device)
    check_scales(name, weight, result)
    return result


def check_matrix(name: str, weight: torch.Tensor, config: QuantConfig) -> int:
    """The group in columns. Raises UserError for what is no finite matrix of whole groups."""
    if weight.ndim != 2 or weight.dtype not in _FLOATS or weight.numel() == 0:
        raise UserError(
            f"{name}: {weight.dtype} of shape {list(weight.shape)} is no matrix to quantize"
        )
    group = config.group_of(name, weight.shape[1])
    _check_finite(name, weight)
    return group


def check_scales(name: str, weight: torch.Tensor, result: QuantizedTensor) -> None:
    """Raises UserError where a scale is beyond its type."""
    if not torch.isfinite(result.scale).all():
        raise UserError(
            f"{name}: a weight of magnitude {float(weight.abs().max()):.3g} needs a scale beyond "
            'float16 (use "group": "row", whose scales are float32)'
        )


def _check_finite(name: str, weight: torch.Tensor) -> None:
    for start in range(0, weight.shape[0], _CHECKED_ROWS):
        finite = torch.isfinite(weight[start : start + _CHECKED_ROWS])
        if not finite.all():
            row, column = (int(index) for index in (~finite).nonzero()[0])
            raise UserError(
                f"{name}: the weight at row {start + row}, column {column} is not finite"
            )


def _quantize_lattice(weight: torch.Tensor, group: int, device: str) -> QuantizedTensor:
    result = quantize_lattice(weight, group=group, device=device)
    return replace(result, exact_groups=exact_groups(weight, result))


_METHODS: dict[str, Callable[[torch.Tensor, QuantConfig, int, str], QuantizedTensor]] = {
    "min_max": lambda weight, config, group, device: quantize_min_max(
        weight, bits=config.bits, group=group, symmetric=config.symmetric, device=device
    ),
    "hqq_scale": lambda weight, config, group, device: quantize_hqq_scale(
        weight, bits=config.bits, group=group, device=device
    ),
    "hqq": lambda weight, config, group, device: quantize_hqq(
        weight, bits=config.bits, group=group, device=device
    ),
    "lattice": lambda weight, config, group, device: _quantize_lattice(weight, group, device),
}
