"""The operations for which plain PyTorch has no word, as custom operators `gemma::*`.

`torch.export` keeps each as one node, so the exporter can recognise it; called eagerly they
compute. The attention operator owns the ring's arithmetic. Invariant: position p lies in slot p mod
capacity, and capacity >= min(max_context, window - 1 + max_chunk), so that writing a chunk never
overwrites a key which one of its queries still sees.
"""

from __future__ import annotations

import torch

from python.model import sampler
from python.model.cast import cast


class PositionError(ValueError):
    """Tokens that the KV cache cannot hold."""


@torch.library.custom_op("gemma::cached_attention", mutates_args=("k_cache", "v_cache"))
def cached_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    start: torch.Tensor,
    window: int,
    scale: float,
) -> torch.Tensor:
    """Writes a chunk's keys and values to the cache, then attends: softmax(scale * q . keys) values.

    q: [1, tokens, heads, head_dim]; k, v: [1, tokens, kv_heads, head_dim]; k_cache, v_cache:
    [kv_heads, capacity, head_dim]; start: int64 [1], position of the first token, on the CPU or the
    cache's device; window: a query at p sees keys in (p - window, p], 0: all in [0, p]. Returns [1,
    tokens, heads, head_dim]. Raises PositionError when the cache cannot hold the chunk beside what
    its queries see.
    """
    first = int(start.item())
    end = first + q.shape[1]
    oldest = max(0, first - window + 1) if window else 0
    _check_capacity(first, end, oldest, k_cache.shape[1])
    write_slots(k_cache, k[0].transpose(0, 1), first)
    write_slots(v_cache, v[0].transpose(0, 1), first)
    keys, values = read_slots(k_cache, oldest, end), read_slots(v_cache, oldest, end)
    visible = visible_keys(first, end, oldest, window, q.device)
    out = attend(q[0].transpose(0, 1), cast(keys, q.dtype), cast(values, q.dtype), visible, scale)
    return out.transpose(0, 1).contiguous()[None]


@cached_attention.register_fake
def _cached_attention_shape(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    start: torch.Tensor,
    window: int,
    scale: float,
) -> torch.Tensor:
    return q.new_empty(q.shape)


def _check_capacity(first: int, end: int, oldest: int, capacity: int) -> None:
    if first < 0:
        raise PositionError(f"start {first} is negative")
    if end - oldest > capacity:
        raise PositionError(
            f"positions {oldest} to {end - 1} do not fit the KV cache of {capacity} "
            "(use shorter chunks or a longer context)"
        )


def write_slots(cache: torch.Tensor, rows: torch.Tensor, first: int) -> None:
    """Stores rows [kv_heads, n, head_dim] of positions first, first + 1, ..."""
    capacity, slot = cache.shape[1], first % cache.shape[1]
    before_wrap = min(rows.shape[1], capacity - slot)
    cache[:, slot : slot + before_wrap] = rows[:, :before_wrap]
    cache[:, : rows.shape[1] - before_wrap] = rows[:, before_wrap:]


def read_slots(cache: torch.Tensor, first: int, end: int) -> torch.Tensor:
    """Rows of positions first to end - 1: [kv_heads, n, head_dim]; a view unless it wraps."""
    capacity, slot = cache.shape[1], first % cache.shape[1]
    wrapped = slot + (end - first) - capacity
    if wrapped <= 0:
        return cache[:, slot : slot + end - first]
    return torch.cat((cache[:, slot:], cache[:, :wrapped]), dim=1)


def attend(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, visible: torch.Tensor, scale: float
) -> torch.Tensor:
    """softmax(scale * q . keys) values over the visible keys; the softmax is float32.

    q: [heads, queries, head_dim]; keys, values: [kv_heads, n, head_dim]; visible: bool
    [queries, n]. Head h reads KV head h / (heads / kv_heads). Returns [heads, queries, head_dim].
    The order of operations is that of transformers' eager attention, so that float32 agrees with it
    to the last bit on most machines.
    """
    heads_per_kv_head = q.shape[0] // keys.shape[0]
    keys = keys.repeat_interleave(heads_per_kv_head, dim=0)  # [heads, n, head_dim]
    values = values.repeat_interleave(heads_per_kv_head, dim=0)
    scores = torch.matmul(q, keys.transpose(1, 2)) * scale
    scores = scores.masked_fill(~visible, torch.finfo(q.dtype).min)
    weights = cast(torch.softmax(scores, dim=-1, dtype=torch.float32), q.dtype)
    return torch.matmul(weights, values)


def visible_keys(
    first: int, end: int, oldest: int, window: int, device: torch.device
) -> torch.Tensor:
    """bool [queries, keys]: which of the keys at oldest..end-1 each query at first..end-1 sees."""
    queries = torch.arange(first, end, device=device)[:, None]
    keys = torch.arange(oldest, end, device=device)[None, :]
    visible = keys <= queries
    return visible & (keys > queries - window) if window else visible


@torch.library.custom_op("gemma::sample", mutates_args=())
def sample(
    logits: torch.Tensor, sampling: torch.Tensor, seed: torch.Tensor, position: torch.Tensor
) -> torch.Tensor:
    """Draws one token.

    logits: float32 [1, 1, vocab]; sampling: float32 [4], the fields of `sampler.Sampling`; seed,
    position: int64 [1]. Returns int64 [1, 1]. The algorithm is `sampler.draw`.
    """
    parameters = sampler.Sampling.from_tensor(sampling)
    return sampler.draw(logits[0, -1], parameters, int(seed.item()), int(position.item())).reshape(
        1, 1
    )


@sample.register_fake
def _sample_shape(
    logits: torch.Tensor, sampling: torch.Tensor, seed: torch.Tensor, position: torch.Tensor
) -> torch.Tensor:
    return logits.new_empty((1, 1), dtype=torch.int64)


@torch.library.custom_op("gemma::score", mutates_args=())
def score(
    logits: torch.Tensor, targets: torch.Tensor, top: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities of the targets and of the `top` most likely tokens (natural logarithm).

    logits: float32 [1, tokens, vocab]; targets: int64 [1, tokens], -1 for none. Returns logprob
    float32 [1, tokens] (NaN for target -1), top_ids int64 and top_logprobs float32 [1, tokens,
    top], most likely first, of equals the lower id.
    """
    logprobs = torch.log_softmax(logits, dim=-1)
    chosen = logprobs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    top_logprobs, top_ids = sampler.top_of(logprobs, top)
    return torch.where(targets < 0, torch.nan, chosen), top_ids, top_logprobs


@score.register_fake
def _score_shape(
    logits: torch.Tensor, targets: torch.Tensor, top: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = (*targets.shape, top)
    return logits.new_empty(targets.shape), targets.new_empty(shape), logits.new_empty(shape)
