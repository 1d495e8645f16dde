"""Traces the methods of a model without weights: shapes and types are all that a plan needs.

What must stay true: no weight and no cache is ever allocated, so tracing the largest model takes as
much memory as tracing the smallest; the tensors of a method are those of signatures.py.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import torch
from torch._subclasses import FakeTensorMode

from python.model import methods
from python.model.gemma_config import GemmaConfig
from python.model.transformer import GemmaModel
from python.plan import signatures
from python.plan.plan import ActivationPrecision

_MODULES = {"prefill": methods.Prefill, "decode": methods.Decode, "score": methods.Score}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What an artifact can hold: positions of a session, tokens of a call, types of numbers."""

    max_context: int
    max_tokens: int
    cache_dtype: torch.dtype
    activations: ActivationPrecision = ActivationPrecision.UNSTATED


def trace(
    config: GemmaConfig, limits: Limits, method: str, layers: Sequence[int] | None = None
) -> torch.export.ExportedProgram:
    """The exported graph of one method of the float32 model.

    Args:
      layers: trace only these layers, under their own numbers; None: all.
    """
    tokens = 1 if method == "decode" else limits.max_tokens
    signature = signatures.signature(method, tokens)
    with FakeTensorMode() as mode, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # inside torch.export
        model = GemmaModel(
            config,
            max_context=limits.max_context,
            max_chunk=limits.max_tokens,
            cache_dtype=limits.cache_dtype,
            layer_indices=layers,
        )
        inputs = tuple(mode.from_tensor(tensor) for tensor in signature.inputs)
        return torch.export.export(
            _MODULES[method](model),
            inputs,
            dynamic_shapes=signature.dynamic_shapes(),
            strict=False,
        )
