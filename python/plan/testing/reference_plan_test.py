"""The interpreter itself: chunks, windows and rings, emit, score against prefill."""

import pytest
import torch

from python.plan.testing.fake_plan import VOCAB, fake_plan, fake_weights
from python.plan.testing.reference_plan import ReferencePlan, Session

PREFILL = fake_plan("prefill", max_tokens=8)
WEIGHTS = fake_weights(PREFILL)
TOKENS = torch.randint(0, VOCAB, (30,), generator=torch.Generator().manual_seed(1))


def _logits(chunk: int) -> list[torch.Tensor]:
    """Logits after each chunk of `chunk` tokens."""
    runner, session = ReferencePlan(PREFILL, WEIGHTS), Session(PREFILL)
    logits = []
    for start in range(0, len(TOKENS), chunk):
        result = runner.run(session, TOKENS[start : start + chunk], start)
        assert result.logits is not None
        logits.append(result.logits)
    return logits


@pytest.mark.parametrize("chunk", [2, 3, 4, 5, 8])
def test_chunks_equal_one_by_one(chunk: int) -> None:
    single = _logits(1)
    for index, logits in enumerate(_logits(chunk)):
        last = min((index + 1) * chunk, len(TOKENS)) - 1
        torch.testing.assert_close(logits, single[last], atol=1e-5, rtol=1e-5)


def _score_in_chunks(capacity: int) -> torch.Tensor:
    plan = fake_plan("score", max_tokens=8, capacity=capacity)
    runner, session = ReferencePlan(plan, WEIGHTS), Session(plan)
    parts = []
    for start in range(0, 24, 8):
        targets = TOKENS[start + 1 : start + 9]
        result = runner.run(session, TOKENS[start : start + 8], start, targets=targets)
        assert result.logprob is not None
        parts.append(result.logprob)
    return torch.cat(parts)


def test_one_slot_less_than_the_invariant_asks_for_gives_wrong_numbers() -> None:
    """Window 4 and chunks of 8 need 11 slots; with 10 a chunk overwrites a key that it needs."""
    whole, roomy, small = _score_in_chunks(11), _score_in_chunks(12), _score_in_chunks(10)
    torch.testing.assert_close(whole, roomy, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole[:8], small[:8], atol=1e-5, rtol=1e-5)
    assert (whole[8] - small[8]).abs() > 1e-3


def test_emit_zero_fills_the_caches_and_gives_nothing() -> None:
    runner = ReferencePlan(PREFILL, WEIGHTS)
    silent, loud = Session(PREFILL), Session(PREFILL)
    assert runner.run(silent, TOKENS[:8], 0, emit=False).logits is None
    runner.run(loud, TOKENS[:8], 0)
    for name in silent.keys:
        torch.testing.assert_close(silent.keys[name], loud.keys[name], equal_nan=True)


def test_score_agrees_with_prefill() -> None:
    score = fake_plan("score", max_tokens=8)
    runner, session = ReferencePlan(score, WEIGHTS), Session(score)
    targets = torch.tensor([*TOKENS[1:8].tolist(), -1])
    result = runner.run(session, TOKENS[:8], 0, targets=targets)
    assert result.logprob is not None
    assert result.top_ids is not None
    assert result.logprob[7].isnan()
    logprobs = torch.log_softmax(torch.stack(_logits(1)[:8]), dim=1)
    expected = logprobs[torch.arange(7), TOKENS[1:8]]
    torch.testing.assert_close(result.logprob[:7], expected, atol=1e-5, rtol=1e-5)
    assert result.top_ids[:, 0].tolist() == logprobs.argmax(dim=1).tolist()


def test_refuses_what_is_outside_the_limits() -> None:
    runner, session = ReferencePlan(PREFILL, WEIGHTS), Session(PREFILL)
    for tokens, start in ((TOKENS[:0], 0), (TOKENS[:9], 0), (TOKENS[:2], 63)):
        with pytest.raises(ValueError, match="outside the plan's limits"):
            runner.run(session, tokens, start)
