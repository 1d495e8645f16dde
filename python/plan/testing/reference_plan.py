"""An interpreter of plans in plain PyTorch, float32, one step after another.

The reference for cc/executor and the proof of the rewrite passes: what it computes must equal the
eager model. What must stay true: each step is the formula in cc/plan/plan.fbs, written as
plainly as possible; nothing here is shared with the model or with the passes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import torch

from python.plan import plan as p


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a call gives.

    `logits` and `token` of prefill and decode (None where `emit` is 0), else of score.
    """

    logits: torch.Tensor | None = None  # [vocabulary] float32, after softcap
    token: int | None = None  # argmax of logits
    logprob: torch.Tensor | None = None  # [tokens] float32, NaN for target -1
    top_ids: torch.Tensor | None = None  # [tokens, top] int64
    top_logprobs: torch.Tensor | None = None  # [tokens, top] float32


class Session:
    """Keys and values of every cache, for one sequence.

    Uninitialised slots are NaN, so that reading one shows.
    """

    def __init__(self, plan: p.Plan) -> None:
        self.keys = {cache.name: _empty_cache(cache) for cache in plan.caches}
        self.values = {cache.name: _empty_cache(cache) for cache in plan.caches}


def _empty_cache(cache: p.Cache) -> torch.Tensor:
    shape = (cache.capacity, cache.kv_heads, cache.head_dim)
    return torch.full(shape, float("nan"), dtype=getattr(torch, cache.dtype.text))


class ReferencePlan:
    """Runs one plan over weights that are given as float32 matrices."""

    def __init__(self, plan: p.Plan, weights: Mapping[str, torch.Tensor]) -> None:
        """weights: name -> [rows, columns] of every weight of the plan; a missing one is a KeyError."""
        self._plan = plan
        self._weights = [_matrix(weight, weights[weight.name]) for weight in plan.weights]

    @torch.no_grad()
    def run(
        self,
        session: Session,
        tokens: torch.Tensor,
        start: int,
        *,
        emit: bool = True,
        targets: torch.Tensor | None = None,
    ) -> Result:
        """Runs the plan on tokens [tokens] int64 from position `start` on; updates the session."""
        count = len(tokens)
        if not 1 <= count <= self._plan.max_tokens or start + count > self._plan.max_context:
            raise ValueError(f"{count} tokens at {start} are outside the plan's limits")
        call = _Call(self._plan, self._weights, session, tokens, start, targets)
        for step in self._plan.steps:
            call.run(step.operation)
            if isinstance(step.operation, p.SelectLast) and not emit:
                return Result()
        return call.result


def _matrix(weight: p.Weight, tensor: torch.Tensor) -> torch.Tensor:
    if tuple(tensor.shape) != (weight.rows, weight.columns):
        raise ValueError(
            f"{weight.name}: {tuple(tensor.shape)} is not {weight.rows} x {weight.columns}"
        )
    return tensor.to(torch.float32)


class _Call:
    """One call: its activation values and its result."""

    def __init__(
        self,
        plan: p.Plan,
        weights: list[torch.Tensor],
        session: Session,
        tokens: torch.Tensor,
        start: int,
        targets: torch.Tensor | None,
    ) -> None:
        self._plan = plan
        self._weights = weights
        self._session = session
        self._tokens = tokens
        self._targets = targets
        self._positions = torch.arange(start, start + len(tokens))  # [tokens]
        self._values: dict[int, torch.Tensor] = {}  # index -> [rows, columns]
        self.result = Result()

    @functools.singledispatchmethod
    def run(self, operation: object) -> None:
        raise TypeError(f"unknown operation {type(operation).__name__}")

    @run.register
    def _(self, operation: p.Embed) -> None:
        rows = self._weights[operation.weight][self._tokens]
        self._values[operation.out] = operation.scale * rows

    @run.register
    def _(self, operation: p.RmsNorm) -> None:
        source = self._values[operation.input]
        weight = self._weights[operation.weight][0] if operation.weight >= 0 else None
        y = _rms_norm(source, operation.width, operation.epsilon, weight)
        if operation.add >= 0:
            y = self._values[operation.add] + y
        if operation.scalar >= 0:
            y = y * self._weights[operation.scalar][0, 0]
        self._values[operation.out] = y

    @run.register
    def _(self, operation: p.Linear) -> None:
        source = self._values[operation.input]
        for weight, out in zip(operation.weights, operation.outs, strict=True):
            self._values[out] = source @ self._weights[weight].T

    @run.register
    def _(self, operation: p.PrepareAttention) -> None:
        cache = self._plan.caches[operation.cache]
        width, epsilon = cache.head_dim, operation.epsilon
        frequencies = self._weights[operation.frequencies][0]  # [head_dim / 2]
        raw_k = self._values[operation.k]
        v = self._values[operation.v] if operation.v >= 0 else raw_k
        if operation.normalize_v:
            v = _rms_norm(v, width, epsilon, None)
        q = _rms_norm(self._values[operation.q], width, epsilon, self._weights[operation.q_norm][0])
        k = _rms_norm(raw_k, width, epsilon, self._weights[operation.k_norm][0])
        slots = self._positions % cache.capacity
        keys, values = self._session.keys[cache.name], self._session.values[cache.name]
        shape = (len(slots), cache.kv_heads, width)
        keys[slots] = _rope(k, width, self._positions, frequencies).view(shape).to(keys.dtype)
        values[slots] = v.view(shape).to(values.dtype)
        self._values[operation.out] = _rope(q, width, self._positions, frequencies)

    @run.register
    def _(self, operation: p.Attention) -> None:
        cache = self._plan.caches[operation.cache]
        queries = self._values[operation.q]  # [tokens, heads * head_dim]
        queries = queries.view(len(self._tokens), operation.heads, cache.head_dim)
        rows = [
            self._attend(operation, cache, query, int(position))
            for query, position in zip(queries, self._positions, strict=True)
        ]
        self._values[operation.out] = torch.stack(rows).flatten(1)

    def _attend(
        self, operation: p.Attention, cache: p.Cache, query: torch.Tensor, position: int
    ) -> torch.Tensor:
        """Attention of one token's query [heads, head_dim] at a position."""
        first = max(0, position - cache.window + 1) if cache.window else 0
        slots = torch.arange(first, position + 1) % cache.capacity
        group = operation.heads // cache.kv_heads
        keys = self._session.keys[cache.name][slots].float()  # [positions, kv_heads, head_dim]
        values = self._session.values[cache.name][slots].float()
        keys = keys.repeat_interleave(group, dim=1)
        values = values.repeat_interleave(group, dim=1)
        scores = operation.scale * torch.einsum("hd,phd->hp", query, keys)
        return torch.einsum("hp,phd->hd", torch.softmax(scores, dim=1), values)

    @run.register
    def _(self, operation: p.GatedGelu) -> None:
        gate = torch.nn.functional.gelu(self._values[operation.gate], approximate="tanh")
        self._values[operation.out] = gate * self._values[operation.up]

    @run.register
    def _(self, operation: p.Add) -> None:
        self._values[operation.out] = self._values[operation.a] + self._values[operation.b]

    @run.register
    def _(self, operation: p.SelectLast) -> None:
        self._values[operation.out] = self._values[operation.input][-1:]

    @run.register
    def _(self, operation: p.Softcap) -> None:
        self._values[operation.out] = _softcap(self._values[operation.input], operation.cap)

    @run.register
    def _(self, operation: p.Sample) -> None:
        logits = self._values[operation.logits][0]
        self.result = Result(logits=logits, token=int(logits.argmax()))

    @run.register
    def _(self, operation: p.Score) -> None:
        if self._targets is None:
            raise ValueError("a score plan needs targets")
        logits = self._values[operation.input] @ self._weights[operation.weight].T
        if operation.softcap > 0:
            logits = _softcap(logits, operation.softcap)
        logprobs = torch.log_softmax(logits, dim=1)  # [tokens, vocabulary]
        chosen = logprobs.gather(1, self._targets.clamp(min=0)[:, None])[:, 0]
        top = logprobs.topk(operation.top, dim=1)
        self.result = Result(
            logprob=torch.where(self._targets < 0, float("nan"), chosen),
            top_ids=top.indices,
            top_logprobs=top.values,
        )


def _rms_norm(
    x: torch.Tensor, width: int, epsilon: float, weight: torch.Tensor | None
) -> torch.Tensor:
    """x: [rows, columns], each `width` columns normalised by themselves; weight: [width]."""
    parts = x.view(len(x), -1, width)
    y = parts * torch.rsqrt(parts.pow(2).mean(dim=2, keepdim=True) + epsilon)
    return (y if weight is None else y * weight).flatten(1)


def _rope(
    x: torch.Tensor, width: int, positions: torch.Tensor, frequencies: torch.Tensor
) -> torch.Tensor:
    """x: [tokens, heads * width]; turns the pairs (i, i + width / 2) of each head."""
    angles = positions[:, None, None].float() * frequencies  # [tokens, 1, width / 2]
    parts = x.view(len(x), -1, width)
    low, high = parts[..., : width // 2], parts[..., width // 2 :]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=2).flatten(1)


def _softcap(x: torch.Tensor, cap: float) -> torch.Tensor:
    return cap * torch.tanh(x / cap)
