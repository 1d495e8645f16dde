"""Changing a tensor's type only where it differs: float32 models export no idle casts."""

from __future__ import annotations

import torch


def cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`x` as `dtype`; `x` itself where it has it already."""
    return x if x.dtype == dtype else x.to(dtype)
