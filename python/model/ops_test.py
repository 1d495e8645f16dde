"""Tests of the custom operators: the ring against a plain list of keys, scores by definition."""

import pytest
import torch

from python.model import ops
from python.model.gemma_config import AttentionConfig
from python.model.kv_cache import KvCache, cache_capacity
from python.model.named_configs import tiny_gemma4

torch.set_num_threads(1)

HEADS, KV_HEADS, HEAD_DIM = 6, 2, 8
TOLERANCE = 4e-6  # float32, values up to 4


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int, scale: float
) -> torch.Tensor:
    """One head and one query at a time in float64, over all keys ever written.

    q: [1, n, heads, head_dim]; k, v: [1, n, kv_heads, head_dim].
    """
    out = torch.zeros(q.shape, dtype=torch.float64)
    for position in range(q.shape[1]):
        oldest = max(0, position - window + 1) if window else 0
        for head in range(HEADS):
            kv_head = head // (HEADS // KV_HEADS)
            keys = k[0, oldest : position + 1, kv_head].double()
            weights = torch.softmax(keys @ q[0, position, head].double() * scale, dim=0)
            out[0, position, head] = weights @ v[0, oldest : position + 1, kv_head].double()
    return out


def in_chunks(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int, scale: float, chunk: int
) -> torch.Tensor:
    """gemma::cached_attention over a cache of exactly the capacity that the invariant asks for."""
    attention = AttentionConfig(
        kv_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        rope_theta=1e4,
        rope_type="default",
        rotary_fraction=1.0,
        rope_factor=1.0,
        window=window or None,
        k_eq_v=False,
    )
    capacity = cache_capacity(attention, max_context=q.shape[1], max_chunk=chunk)
    cache = KvCache(attention, capacity, torch.float32)
    out = []
    for start in range(0, q.shape[1], chunk):
        rows = slice(start, start + chunk)
        args = (cache.keys, cache.values, torch.tensor([start]), window, scale)
        out.append(ops.cached_attention(q[:, rows], k[:, rows], v[:, rows], *args))
    return torch.cat(out, dim=1)


@pytest.mark.parametrize("window", [0, 1, 2, 3, 7, 16])
def test_every_chunk_length_equals_attention_over_all_keys(window: int) -> None:
    tokens = 40
    q = random(1, tokens, HEADS, HEAD_DIM, seed=1)
    k = random(1, tokens, KV_HEADS, HEAD_DIM, seed=2)
    v = random(1, tokens, KV_HEADS, HEAD_DIM, seed=3)
    expected = naive_attention(q, k, v, window, 0.7)
    worst = 0.0
    for chunk in (*range(1, 20), 33, 39, 40):
        found = in_chunks(q, k, v, window, 0.7, chunk)
        worst = max(worst, (found.double() - expected).abs().max().item())
    print(f"window {window}: max error {worst:.2e}, {worst / TOLERANCE:.0%} of the tolerance")
    assert worst <= TOLERANCE


def test_a_ring_one_slot_short_is_refused() -> None:
    q = torch.zeros(1, 5, HEADS, HEAD_DIM)
    k = torch.zeros(1, 5, KV_HEADS, HEAD_DIM)
    cache = torch.zeros(KV_HEADS, 11, HEAD_DIM)  # window 8 and 5 tokens need 12
    with pytest.raises(ops.PositionError, match=r"positions 13 to 24 do not fit .* of 11"):
        ops.cached_attention(q, k, k, cache, cache.clone(), torch.tensor([20]), 8, 1.0)


def test_a_bfloat16_cache_rounds_what_it_holds() -> None:
    q, k = random(1, 4, HEADS, HEAD_DIM, seed=1), random(1, 4, KV_HEADS, HEAD_DIM, seed=2)
    cache = torch.zeros(2, KV_HEADS, 4, HEAD_DIM, dtype=torch.bfloat16)
    found = ops.cached_attention(q, k, k, cache[0], cache[1], torch.tensor([0]), 0, 1.0)
    assert found.dtype == torch.float32
    rounded = k.bfloat16().float()
    expected = naive_attention(q, rounded, rounded, 0, 1.0)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0.0)


def test_the_operators_declare_what_they_mutate_and_return() -> None:
    config = tiny_gemma4().sliding
    cache = KvCache(config, 31, torch.float32)
    q = random(1, 3, 4, config.head_dim, seed=1)
    k = random(1, 3, config.kv_heads, config.head_dim, seed=2)
    args = (q, k, k + 1, cache.keys, cache.values, torch.tensor([29]), 16, 1.0)
    torch.library.opcheck(ops.cached_attention, args)
    one = torch.tensor([1])
    sampling = torch.tensor([1.0, 3.0, 0.9, 0.0])
    torch.library.opcheck(ops.sample, (random(1, 1, 50, seed=3), sampling, one, one + 1))
    targets = torch.tensor([[1, -1, 3]])
    check = ("test_schema", "test_faketensor")  # NaN differs from NaN in the others
    torch.library.opcheck(ops.score, (random(1, 3, 50, seed=4), targets, 5), test_utils=check)


def test_score_is_log_softmax_of_the_target_and_the_five_largest() -> None:
    logits = random(1, 4, 300, seed=5) * 5
    logits[0, 1, 7] = logits[0, 1, 3] = 40.0  # equals: the lower id first
    targets = torch.tensor([[12, 7, -1, 299]])
    logprob, top_ids, top_logprobs = ops.score(logits, targets, 5)
    expected = torch.log_softmax(logits.double(), dim=-1)[0]
    for row, target in enumerate(targets[0].tolist()):
        if target < 0:
            assert logprob[0, row].isnan()
        else:
            assert logprob[0, row].item() == pytest.approx(expected[row, target].item(), abs=1e-5)
        largest = torch.sort(expected[row], descending=True, stable=True).indices[:5].tolist()
        assert top_ids[0, row].tolist() == largest
        torch.testing.assert_close(top_logprobs[0, row].double(), expected[row, largest])
    assert top_ids[0, 1, :2].tolist() == [3, 7]
