"""A checkpoint of any kind as an eager model, with plain weights or with packed ones.

Invariant: one stored weight at a time is in memory beside the model's own; quantized weights enter
with exactly the values that they store, rounded once to the model's type, whether they are
dequantized here or stay packed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch import nn

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.quantized import QuantizedTensor, from_integers, from_torchao
from python.checkpoint.tensor import (
    BlockTensor,
    IntegerTensor,
    StoredTensor,
    TensorInfo,
    TorchaoTensor,
)
from python.checkpoint.torchao_source import TORCHAO_BITS
from python.console.errors import UserError
from python.inference.packed_weight import RowsInt4, pack, tinygemm_obstacle
from python.inference.quantized_linear import QuantizedEmbedding, QuantizedLinear
from python.model.load import load_weights
from python.model.transformer import GemmaModel
from python.model.weight_names import WeightError
from python.quant.dequantize import dequantize
from python.quant.gguf_import import import_exactly
from python.quant.recipe import QuantConfig

Dtype = torch.dtype
OnWeight = Callable[[TensorInfo], None]
OnNote = Callable[[str], None]
_STORED: dict[str, Dtype] = {"BF16": torch.bfloat16, "F16": torch.bfloat16, "F32": torch.float32}
# GGUF types that are groups of 32 with one scale, so that packing changes nothing.
_BLOCKS = {
    "Q4_0": QuantConfig(bits=4, group=32, symmetric=True, method="min_max"),
    "Q8_0": QuantConfig(bits=8, group=32, symmetric=True, method="min_max"),
}


def default_dtype(checkpoint: Checkpoint, device: torch.device) -> Dtype:
    """bfloat16 for what is stored in 16 bits and for all on CUDA; else float32."""
    if device.type == "cuda":
        return torch.bfloat16
    return _STORED.get(checkpoint.describe("embed_tokens.weight").encoding, torch.float32)


def has_packed_form(checkpoint: Checkpoint) -> bool:
    """Whether any weight is stored in a form that can stay packed."""
    return any(_is_packable(checkpoint, name) for name in checkpoint.names())


def load_model(
    checkpoint: Checkpoint,
    *,
    max_context: int,
    max_chunk: int,
    dtype: Dtype,
    device: torch.device,
    packed: bool = False,
    on_weight: OnWeight = lambda info: None,
    on_note: OnNote = lambda note: None,
) -> GemmaModel:
    """The checkpoint's model; `on_weight` is called after each weight.

    packed: quantized weights stay so where they can; `on_note` is told, in a line, which do not,
    and which tinygemm does not multiply. Raises ConfigError for limits that the model does not
    have, FormatError for damaged weights, UserError if `packed` finds nothing to keep packed.
    """
    model = GemmaModel(
        checkpoint.config,
        max_context=max_context,
        max_chunk=max_chunk,
        dtype=dtype,
        device=device,
        weights_device="meta",
    )
    kept = _install_packed(model, checkpoint, dtype, on_weight, on_note) if packed else frozenset()
    load_weights(model, _plain_weights(checkpoint, kept, on_weight))
    return model


def _plain_weights(
    checkpoint: Checkpoint, without: frozenset[str], on_weight: OnWeight
) -> Iterator[tuple[str, torch.Tensor]]:
    for name in checkpoint.names():
        if name not in without:
            yield name, dequantize(name, checkpoint.read(name))
            on_weight(checkpoint.describe(name))


def _install_packed(
    model: GemmaModel, checkpoint: Checkpoint, dtype: Dtype, on_weight: OnWeight, on_note: OnNote
) -> frozenset[str]:
    """Puts packed weights in the place of plain modules; the names of these weights."""
    kept: set[str] = set()
    without_tinygemm: Counter[str] = Counter()
    for name in checkpoint.names():
        info = checkpoint.describe(name)
        tensor = _packable(name, checkpoint.read(name)) if _is_packable(checkpoint, name) else None
        if tensor is None:
            continue
        obstacle = _install(model, name, tensor, dtype)
        if obstacle is not None:
            without_tinygemm[obstacle] += 1
        kept.add(name)
        on_weight(info)
    if not kept:
        raise UserError(
            "--weights packed: the checkpoint has no weight that can stay packed "
            f"({', '.join((*TORCHAO_BITS, *_BLOCKS))}); use --weights plain"
        )
    for obstacle, count in without_tinygemm.items():
        on_note(f"{count} INT4 weights are dequantized for every product: {obstacle}")
    _note_unpacked(checkpoint, frozenset(kept), dtype, on_note)
    return frozenset(kept)


def _install(model: GemmaModel, name: str, tensor: QuantizedTensor, dtype: Dtype) -> str | None:
    """One packed weight. Why tinygemm cannot multiply with it, None where it can or need not."""
    path = name.removesuffix(".weight")
    plain = model.get_submodule(path)
    slot = plain.get_parameter("weight")
    if slot.shape != (tensor.rows, tensor.columns):
        raise WeightError(
            f"{name}: the checkpoint has {tensor.rows} x {tensor.columns}, the model needs "
            + " x ".join(map(str, slot.shape))
        )
    owner_path, _, leaf = path.rpartition(".")
    owner = model.get_submodule(owner_path)
    if isinstance(plain, nn.Embedding):
        # Rows are gathered one by one, which tiles do not allow.
        rows = pack(tensor, torch.float32, model.device)
        setattr(owner, leaf, QuantizedEmbedding(rows, dtype))
        return None
    weight = pack(tensor, dtype, model.device)
    setattr(owner, leaf, QuantizedLinear(weight))
    return tinygemm_obstacle(tensor, dtype, model.device) if isinstance(weight, RowsInt4) else None


def _note_unpacked(
    checkpoint: Checkpoint, kept: frozenset[str], dtype: Dtype, on_note: OnNote
) -> None:
    """Tells of quantized weights that were dequantized all the same."""
    encodings = Counter(
        checkpoint.describe(name).encoding for name in checkpoint.names() if name not in kept
    )
    others = {name: count for name, count in encodings.items() if name not in _STORED}
    if others:
        kinds = ", ".join(f"{count} of {name}" for name, count in sorted(others.items()))
        on_note(f"dequantized to {dtype}: {kinds}".replace("torch.", ""))


def _is_packable(checkpoint: Checkpoint, name: str) -> bool:
    encoding, form = checkpoint.describe(name).encoding, checkpoint.form(name)
    if form is not None:
        return form.zero == "none"
    return encoding in TORCHAO_BITS or encoding in _BLOCKS


def _packable(name: str, tensor: StoredTensor) -> QuantizedTensor | None:
    """The canonical form of what is stored, None where it has none that is exact."""
    if isinstance(tensor, BlockTensor):
        return import_exactly(tensor, _BLOCKS[tensor.type.name])
    if isinstance(tensor, IntegerTensor):
        return from_integers(tensor)
    return from_torchao(name, tensor) if isinstance(tensor, TorchaoTensor) else None
