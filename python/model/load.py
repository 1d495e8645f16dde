"""Putting a checkpoint's weights into a model, strictly.

Invariant: after `load_weights` returns, every parameter and layer_scalar of the model came from the
checkpoint, with the expected shape; nothing is guessed, zero-filled or left over. One weight at a
time is in flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from python.model.gemma_config import GemmaConfig
from python.model.names import WeightError, canonical_from_gguf, canonical_from_hf, is_norm
from python.model.transformer import GemmaModel

_NAMES_SHOWN = 5


def load_weights(model: GemmaModel, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Loads (canonical name, tensor) pairs.

    Plain tensors take the model's type, quantized ones (tensor subclasses) stay as they are.
    Weights on the meta device are put in place without a copy where type and device already match.
    Raises WeightError for a missing, unknown, repeated or misshapen weight.
    """
    missing = model.state_dict()  # parameters and layer_scalar; caches and tables are not in it
    unknown: list[str] = []
    seen: set[str] = set()
    for name, tensor in weights:
        if name in seen:
            raise WeightError(f"{name}: the checkpoint has it twice")
        seen.add(name)
        slot = missing.pop(name, None)
        if slot is None:
            unknown.append(name)
            continue
        _check_shape(name, tensor, slot)
        _put(model, name, slot, tensor)
    _check_none(missing, f"the checkpoint lacks {len(missing)} weights of {model.config.name}")
    _check_none(
        unknown, f"the checkpoint has {len(unknown)} weights that {model.config.name} does not"
    )


def weights_from_hf(
    tensors: Iterable[tuple[str, torch.Tensor]], config: GemmaConfig
) -> Iterator[tuple[str, torch.Tensor]]:
    """Hugging Face (name, tensor) pairs as canonical ones; towers dropped, norms as factors."""
    for stored, tensor in tensors:
        name = canonical_from_hf(stored, config)
        if name is not None:
            yield name, norm_factor_from_hf(tensor, config) if is_norm(name) else tensor


def weights_from_gguf(
    tensors: Iterable[tuple[str, torch.Tensor]], config: GemmaConfig
) -> Iterator[tuple[str, torch.Tensor]]:
    """GGUF (name, dequantized tensor) pairs as canonical ones; its norms are factors already."""
    for stored, tensor in tensors:
        name = canonical_from_gguf(stored, config)
        if name is not None:
            yield name, tensor.float() if is_norm(name) else tensor


def norm_factor_from_hf(stored: torch.Tensor, config: GemmaConfig) -> torch.Tensor:
    """The float32 factor of a norm: 1 + w where the checkpoint stores w (Gemma 3)."""
    return 1.0 + stored.float() if config.norm_offset else stored.float()


def _check_shape(name: str, tensor: torch.Tensor, slot: torch.Tensor) -> None:
    if tensor.shape != slot.shape:
        found, expected = (" x ".join(map(str, t.shape)) or "a scalar" for t in (tensor, slot))
        raise WeightError(f"{name}: the checkpoint has {found}, the model needs {expected}")


def _put(model: GemmaModel, name: str, slot: torch.Tensor, tensor: torch.Tensor) -> None:
    tensor = tensor.detach()
    if type(tensor) in (torch.Tensor, nn.Parameter):
        if not slot.is_meta:
            slot.data.copy_(tensor)
            return
        tensor = tensor.to(device=model.device, dtype=slot.dtype)
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    if leaf in owner._parameters:
        setattr(owner, leaf, nn.Parameter(tensor, requires_grad=False))
    else:
        setattr(owner, leaf, tensor)


def _check_none(names: Iterable[str], problem: str) -> None:
    listed = list(names)
    if listed:
        shown = ", ".join(listed[:_NAMES_SHOWN])
        more = len(listed) - _NAMES_SHOWN
        raise WeightError(f"{problem}: {shown}" + (f" and {more} more" if more > 0 else ""))
