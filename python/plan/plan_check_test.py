"""Each rule of plan_check refuses a plan that breaks it, with a sentence that names the culprit."""

import dataclasses
from typing import Any

import pytest

from python.plan import plan as p
from python.plan.plan_check import validate, validate_together
from python.plan.testing.fake_plan import fake_plan


def _with_operation(plan: p.Plan, name: str, **changes: Any) -> p.Plan:
    steps = [
        dataclasses.replace(step, operation=dataclasses.replace(step.operation, **changes))
        if step.name == name
        else step
        for step in plan.steps
    ]
    assert steps != list(plan.steps)
    return dataclasses.replace(plan, steps=tuple(steps))


def _with_weight(plan: p.Plan, name: str, **changes: Any) -> p.Plan:
    weights = [dataclasses.replace(w, **changes) if w.name == name else w for w in plan.weights]
    return dataclasses.replace(plan, weights=tuple(weights))


def _with_cache(plan: p.Plan, **changes: Any) -> p.Plan:
    return dataclasses.replace(plan, caches=(dataclasses.replace(plan.caches[0], **changes),))


@pytest.mark.parametrize("method", p.Plan.METHODS)
def test_accepts(method: str) -> None:
    validate(fake_plan(method, max_tokens=1 if method == "decode" else 8))


PLAN = fake_plan()
LAST = len(PLAN.values)
BROKEN = [
    (dataclasses.replace(PLAN, version=2), "plan version 2 is not 1"),
    (dataclasses.replace(PLAN, method="train"), "unknown method train"),
    (dataclasses.replace(PLAN, method="decode"), "decode: max_tokens 8 is not 1"),
    (dataclasses.replace(PLAN, method="score"), "step sample: score ends with Score"),
    (dataclasses.replace(PLAN, max_tokens=65), "max_tokens 65 is not within 1 to max_context 64"),
    (dataclasses.replace(PLAN, vocab_size=0), "vocabulary size 0 is out of range"),
    (dataclasses.replace(PLAN, vocab_size=41), "step embed: rows of the embedding is 40, not 41"),
    (dataclasses.replace(PLAN, steps=()), "the plan has no steps"),
    (dataclasses.replace(PLAN, steps=PLAN.steps[:-1]), "step softcap: a plan ends with"),
    (dataclasses.replace(PLAN, steps=PLAN.steps[1:]), "it reads embedding before any step wrote"),
    (dataclasses.replace(PLAN, steps=PLAN.steps + PLAN.steps[-1:]), "step sample occurs twice"),
    (
        dataclasses.replace(PLAN, values=PLAN.values + PLAN.values[:1]),
        "value embedding occurs twice",
    ),
    (
        dataclasses.replace(
            PLAN, values=(*PLAN.values, p.Value(name="x", columns=1, rows=p.Rows.ONE))
        ),
        "value x is used by no step",
    ),
    (
        _with_weight(PLAN, "norm.weight", bytes=127),
        "norm.weight: 127 bytes, but F32 of 1 x 32 takes 128",
    ),
    (
        _with_weight(PLAN, "norm.weight", rows=2, bytes=256),
        "norm.weight is F32 2 x 32, not F32 1 x 32",
    ),
    (
        _with_weight(PLAN, "q_proj.weight", data_key="norm.weight"),
        "data key norm.weight occurs twice",
    ),
    (
        _with_weight(PLAN, "q_proj.weight", layout=p.Layout.INT4, group=24, bytes=1),
        "q_proj.weight: group 24 does not divide 32 columns",
    ),
    (
        _with_weight(PLAN, "q_proj.weight", layout=p.Layout.Q4_K, bytes=1),
        "q_proj.weight: Q4_K has blocks of 256 columns, which do not divide 32",
    ),
    (_with_weight(PLAN, "q_proj.weight", rows=0), "q_proj.weight: a weight of 0 x 32 is empty"),
    (_with_cache(PLAN, capacity=10), "capacity 10 is less than the 11 positions that 8 tokens"),
    (_with_cache(PLAN, window=0), "capacity 11 is less than the 64 positions"),
    (_with_cache(PLAN, head_dim=31), "1 heads of 31"),
    (_with_cache(PLAN, head_dim=16), "step layers.0.prepare: q_proj has 64 columns"),
    (_with_cache(PLAN, kv_heads=3), "2 query heads do not divide into 3 key/value heads"),
    (
        _with_operation(PLAN, "embed", out=LAST),
        f"index {LAST} of a value that is written is outside",
    ),
    (_with_operation(PLAN, "layers.0.prepare", cache=1), "index 1 of a cache is outside 0 to 0"),
    (_with_operation(PLAN, "layers.0.input_layernorm", out=0), "it writes embedding a second time"),
    (
        _with_operation(PLAN, "layers.0.input_layernorm", width=7),
        "width 7 does not divide 32 columns",
    ),
    (_with_operation(PLAN, "layers.0.input_layernorm", epsilon=0.0), "epsilon 0.0 is not positive"),
    (_with_operation(PLAN, "layers.0.qkv", outs=(2, 3)), "number of outputs is 2, not 3"),
    (_with_operation(PLAN, "layers.0.qkv", outs=(2, 3, 3)), "it writes k_proj a second time"),
    (
        _with_operation(PLAN, "layers.0.qkv", outs=(3, 2, 4)),
        "has 32 columns and rows TOKENS, not 64",
    ),
    (_with_operation(PLAN, "layers.0.attention", scale=float("nan")), "scale nan is not positive"),
    (_with_operation(PLAN, "softcap", cap=-1.0), "cap -1.0 is not positive"),
    (
        _with_operation(PLAN, "layers.0.add", out=1),
        "it writes layers.0.input_layernorm a second time",
    ),
    (
        dataclasses.replace(
            PLAN, steps=tuple(s for s in PLAN.steps if s.name != "layers.0.attention")
        ),
        "step layers.0.o_proj: it reads attention before any step wrote it",
    ),
    (
        _with_operation(fake_plan("score"), "score", top=41),
        "top 41 of 40 ids",
    ),
]


@pytest.mark.parametrize(("plan", "sentence"), BROKEN, ids=[sentence for _, sentence in BROKEN])
def test_refuses(plan: p.Plan, sentence: str) -> None:
    with pytest.raises(p.PlanError) as caught:
        validate(plan)
    assert sentence in str(caught.value)


def test_cache_is_written_once_and_before_it_is_read() -> None:
    steps = list(PLAN.steps)
    prepare = next(i for i, step in enumerate(steps) if step.name == "layers.0.prepare")
    operation = steps[prepare].operation
    assert isinstance(operation, p.PrepareAttention)
    other = dataclasses.replace(operation, out=LAST)
    again = p.Step(name="again", operation=other)
    values = (*PLAN.values, p.Value(name="other", columns=64, rows=p.Rows.TOKENS))
    steps.insert(prepare + 1, again)
    twice = dataclasses.replace(PLAN, values=values, steps=tuple(steps))
    with pytest.raises(p.PlanError, match=r"again: layers\.0\.kv_cache is written a second time"):
        validate(twice)
    swapped = _with_operation(PLAN, "layers.0.attention", q=2)
    steps = [step for step in swapped.steps if step.name != "layers.0.prepare"]
    with pytest.raises(p.PlanError, match=r"layers\.0\.kv_cache is read before it is written"):
        validate(dataclasses.replace(PLAN, steps=tuple(steps)))


def test_plans_of_a_program_agree() -> None:
    decode = fake_plan("decode", max_tokens=1)
    validate_together([PLAN, decode])
    with pytest.raises(p.PlanError, match=r"cache layers\.0\.kv_cache differs"):
        validate_together([PLAN, fake_plan("decode", max_tokens=1, capacity=12)])
    other = _with_weight(decode, "q_proj.weight", layout=p.Layout.F16, bytes=64 * 32 * 2)
    with pytest.raises(p.PlanError, match=r"weight q_proj\.weight differs"):
        validate_together([PLAN, other])
    with pytest.raises(p.PlanError, match="method prefill occurs twice"):
        validate_together([PLAN, PLAN])
