"""Putting a checkpoint's weights into a model, strictly.

Invariant: after `load_weights` returns, every parameter and layer_scalar of the model came from the
checkpoint, with the expected shape; nothing is guessed, zero-filled or left over. One weight at a
time is in flight.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from python.model.transformer import GemmaModel
from python.model.weight_names import WeightError

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
