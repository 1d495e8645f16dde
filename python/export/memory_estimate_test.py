"""Estimates against sums by hand."""

import dataclasses

from python.export import memory_estimate
from python.plan import plan as p
from python.plan.testing.fake_plan import FFN, HEAD_DIM, HIDDEN, fake_plan


def test_export_holds_one_weight_twice() -> None:
    plain = memory_estimate.WeightSize(stored=200, packed=60, integers=100)
    kept = memory_estimate.WeightSize(stored=150, packed=151, integers=0)
    alone = memory_estimate.export_bytes([plain])
    assert memory_estimate.export_bytes([kept]) == alone + 1
    assert memory_estimate.export_bytes([plain, kept]) == alone + 1
    assert 400_000_000 < alone < 700_000_000


def test_session() -> None:
    plan = fake_plan(capacity=11)
    assert memory_estimate.session_bytes(plan) == 2 * 11 * HEAD_DIM * 4
    (cache,) = plan.caches
    narrow = dataclasses.replace(plan, caches=(dataclasses.replace(cache, dtype=p.DType.F16),))
    assert memory_estimate.session_bytes(narrow) == 2 * 11 * HEAD_DIM * 2


def test_activations_share_memory_when_they_do_not_meet() -> None:
    plan = fake_plan(max_tokens=8)
    # Most is alive at the activation function: gate, up, their product and the residual stream.
    assert memory_estimate.activation_bytes(plan) == 8 * 4 * (3 * FFN + HIDDEN)


def test_one_row_counts_once() -> None:
    step = p.Step(name="a", operation=p.Embed(weight=0, out=0))
    value = p.Value(name="v", columns=10, rows=p.Rows.ONE)
    plan = p.Plan(
        model="m",
        method="prefill",
        vocab_size=1,
        max_tokens=8,
        max_context=8,
        weights=(),
        caches=(),
        values=(value,),
        steps=(step,),
    )
    assert memory_estimate.activation_bytes(plan) == 40
