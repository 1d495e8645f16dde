"""Drawing a token from logits: the filters, the counter-based random number, the draw.

The reference is `cc/kernels/sampling_params.h`; this is the same algorithm, so the same seed
gives the same text here and there, rounding of near-ties aside. Invariant: the draw depends on
logits, parameters, seed and position alone.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

_MASK = 0xFFFFFFFF


class SamplingError(ValueError):
    """Sampling parameters that mean nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw: temperature 0 is argmax; top_k 0, top_p 1 and min_p 0 switch a filter off.

    The fields have the order of the methods' `sampling` tensor (docs/formats.md), as those of the
    C++ twin, cc/kernels/sampling_params.h.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0.0):
            raise SamplingError(f"temperature {self.temperature} is not a number of at least 0")
        if self.top_k < 0:
            raise SamplingError(f"top_k {self.top_k} is negative (0 switches it off)")
        if not 0.0 < self.top_p <= 1.0:
            raise SamplingError(f"top_p {self.top_p} is outside (0, 1]")
        if not 0.0 <= self.min_p <= 1.0:
            raise SamplingError(f"min_p {self.min_p} is outside [0, 1]")

    def to_tensor(self) -> torch.Tensor:
        """float32 [fields], as the methods take it."""
        return torch.tensor(dataclasses.astuple(self), dtype=torch.float32)

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor) -> Sampling:
        """The reverse; whole numbers become whole again."""
        names = [field.name for field in dataclasses.fields(cls)]
        values: dict[str, Any] = dict(zip(names, tensor.tolist(), strict=True))
        return cls(**values | {"top_k": int(values["top_k"])})


def draw(logits: torch.Tensor, sampling: Sampling, seed: int, position: int) -> torch.Tensor:
    """One token id, int64 scalar. logits: float32 [vocab]; a NaN counts as minus infinity.

    The token is the first, in ascending order of ids, at which the running sum of kept
    probabilities exceeds `uniform(seed, position)` times their total.
    """
    logits = torch.where(logits.isnan(), -torch.inf, logits)
    if sampling.temperature == 0.0 or logits.max().isinf():
        return lowest_argmax(logits)
    kept = kept_probabilities(logits, sampling)
    running = torch.cumsum(kept, dim=0)
    drawn = torch.searchsorted(running, uniform(seed, position) * running[-1], right=True)
    return torch.minimum(drawn, torch.nonzero(kept)[-1, 0])  # u * total may round up to the total


def kept_probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """float64 [vocab]: probabilities relative to the largest, zero for what the filters drop.

    The filters apply in this order, each to what the one before it kept: top_k keeps the k largest
    logits (of equals the lower id), top_p the fewest most likely tokens whose share of the sum is
    at least top_p, min_p the tokens at least min_p times as likely as the most likely one.
    """
    order = torch.argsort(logits, descending=True, stable=True)
    if 0 < sampling.top_k < len(order):
        order = order[: sampling.top_k]
    ranked = logits[order].double()
    ranked = torch.exp((ranked - ranked[0]) / sampling.temperature)
    if sampling.top_p < 1.0:
        running = torch.cumsum(ranked, dim=0)
        ranked[int((running < sampling.top_p * running[-1]).sum()) + 1 :] = 0.0
    ranked[ranked < sampling.min_p * ranked[0]] = 0.0
    return torch.zeros(len(logits), dtype=torch.float64, device=logits.device).scatter(
        0, order, ranked
    )


def lowest_argmax(logits: torch.Tensor) -> torch.Tensor:
    """The id of the largest logit, the lowest among equals (torch.argmax promises no order)."""
    return torch.nonzero(logits == logits.max())[0, 0]


def top_of(values: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` largest of the last dimension and their indices; of equals the lower first."""
    ordered, indices = torch.sort(values, dim=-1, descending=True, stable=True)
    return ordered[..., :count].contiguous(), indices[..., :count].contiguous()


def uniform(seed: int, position: int) -> float:
    """The number in [0, 1), 53 bits, for the token at `position`: Philox by (position, seed)."""
    counter = (position & _MASK, position >> 32 & _MASK, 0, 0)
    high, low, _, _ = philox(counter, (seed & _MASK, seed >> 32 & _MASK))
    return ((high << 32 | low) >> 11) * 2.0**-53


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011)."""
    for _ in range(10):
        product_0, product_1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = (
            product_1 >> 32 ^ counter[1] ^ key[0],
            product_1 & _MASK,
            product_0 >> 32 ^ counter[3] ^ key[1],
            product_0 & _MASK,
        )
        key = ((key[0] + 0x9E3779B9) & _MASK, (key[1] + 0xBB67AE85) & _MASK)
    return counter
