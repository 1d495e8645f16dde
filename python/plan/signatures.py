"""The tensors that go into and come out of each method, as docs/formats.md lists them.

Owns the shells: modules with exactly a method's inputs and outputs (shapes, types, the dynamic
number of tokens), which compute nothing. ExecuTorch records a signature from them.
What must stay true: order, shapes and types here are those that cc/delegate checks at load.
"""

from __future__ import annotations

import dataclasses

import torch

from python.model.methods import SCORE_TOP
from python.model.sampler import Sampling


class _GenerateShell(torch.nn.Module):
    """prefill and decode: (tokens, start, emit, sampling, seed) -> token int64 [1, 1]."""

    def forward(
        self,
        tokens: torch.Tensor,  # int64 [1, tokens]
        start: torch.Tensor,  # int64 [1]
        emit: torch.Tensor,  # int64 [1]
        sampling: torch.Tensor,  # float32 [fields of Sampling]
        seed: torch.Tensor,  # int64 [1]
    ) -> tuple[torch.Tensor, ...]:
        scalars = start + emit + seed + sampling.sum().to(torch.int64)
        return (tokens.sum(1, keepdim=True) + scalars,)


class _ScoreShell(torch.nn.Module):
    """score: (tokens, start, targets) -> (logprob, top_ids, top_logprobs)."""

    def forward(
        self,
        tokens: torch.Tensor,  # int64 [1, tokens]
        start: torch.Tensor,  # int64 [1]
        targets: torch.Tensor,  # int64 [1, tokens]
    ) -> tuple[torch.Tensor, ...]:
        ids = tokens + start + targets
        top = ids.unsqueeze(2).expand(-1, -1, SCORE_TOP) + 1
        return ids.to(torch.float32), top, top.to(torch.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """A shell, example inputs for it, and which of their dimensions may change (1: the tokens)."""

    shell: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]
    token_inputs: tuple[bool, ...]  # which inputs are [1, tokens]
    max_tokens: int

    def dynamic_shapes(self) -> tuple[dict[int, torch.export.Dim] | None, ...]:
        """The sizes for torch.export: 1 to max_tokens tokens; nothing is dynamic where that is one."""
        if self.max_tokens == 1:
            return (None,) * len(self.inputs)
        tokens = torch.export.Dim("tokens", min=1, max=self.max_tokens)
        return tuple({1: tokens} if dynamic else None for dynamic in self.token_inputs)


def signature(method: str, max_tokens: int) -> Signature:
    """The signature of `prefill`, `decode` or `score` for 1 to `max_tokens` tokens a call."""
    # Two example tokens: torch.export would take a single one for a constant.
    tokens = torch.zeros(1, min(2, max_tokens), dtype=torch.int64)
    start, emit, seed = (torch.zeros(1, dtype=torch.int64) for _ in range(3))
    if method == "score":
        return Signature(
            shell=_ScoreShell(),
            inputs=(tokens, start, torch.zeros_like(tokens)),
            token_inputs=(True, False, True),
            max_tokens=max_tokens,
        )
    sampling = Sampling().to_tensor()
    return Signature(
        shell=_GenerateShell(),
        inputs=(tokens, start, emit, sampling, seed),
        token_inputs=(True, False, False, False, False),
        max_tokens=max_tokens,
    )
