"""The exported methods `prefill`, `decode` and `score`, as docs/formats.md ("Methods") states them.

Invariant: a method is the model plus its head and its last operator, nothing else, so all three
share one plan.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from python.model import ops
from python.model.transformer import GemmaModel

SCORE_TOP = 5  # most likely ids that `score` reports for each token


class Prefill(nn.Module):
    """A chunk of tokens -> the token drawn after it; the head runs on the last token only.

    suppressed: ids that are never drawn; their logits count as the lowest number before anything
    else is done to them. Exported without: the engine knows them from the manifest.
    """

    def __init__(self, model: GemmaModel, suppressed: Collection[int] = ()) -> None:
        super().__init__()
        self.model = model
        self.suppressed: torch.Tensor | None = None  # int64 [ids]
        if suppressed:
            self.suppressed = torch.tensor(sorted(suppressed), device=model.device)

    def forward(
        self,
        tokens: torch.Tensor,
        start: torch.Tensor,
        emit: torch.Tensor,
        sampling: torch.Tensor,
        seed: torch.Tensor,
    ) -> torch.Tensor:
        """The drawn token, int64 [1, 1]; -1 where emit is 0.

        tokens: int64 [1, T]; start, emit, seed: int64 [1]; sampling: float32 [4].
        """
        x = self._last(self.model.hidden(tokens, start))
        logits = self.model.logits(x)  # [1, 1, vocab]
        if self.suppressed is not None:
            logits = logits.index_fill(-1, self.suppressed, torch.finfo(logits.dtype).min)
        drawn = ops.sample(logits, sampling, seed, start + tokens.shape[1])
        return torch.where(emit == 0, -1, drawn)

    def _last(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, -1:]


class Decode(Prefill):
    """One token -> the next; T is 1."""

    def _last(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Score(nn.Module):
    """Teacher-forced log-probabilities of a chunk."""

    def __init__(self, model: GemmaModel, top: int = SCORE_TOP) -> None:
        super().__init__()
        self.model = model
        self.top = top

    def forward(
        self, tokens: torch.Tensor, start: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """logprob float32 [1, T], top_ids int64 [1, T, top], top_logprobs float32 [1, T, top].

        tokens, targets: int64 [1, T]; start: int64 [1].
        """
        logits = self.model(tokens, start)
        scores: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = ops.score(
            logits, targets, self.top
        )
        return scores
