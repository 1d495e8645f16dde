"""Each rule of plan_check refuses a plan that breaks it, with a sentence that names the culprit."""

import dataclasses

import pytest

from python.plan import plan as p
from python.plan.plan_check import validate, validate_together
from python.plan.testing.border_plans import (
    ACCEPTED,
    LAST,
    PLAN,
    REFUSED,
    with_operation,
    with_weight,
)
from python.plan.testing.fake_plan import fake_plan

# What export alone refuses: cc/plan can run it.
ONLY_EXPORT_REFUSES = (
    (
        dataclasses.replace(
            PLAN, values=(*PLAN.values, p.Value(name="x", columns=1, rows=p.Rows.ONE))
        ),
        "value x is used by no step",
    ),
    (with_operation(PLAN, "layers.0.input_layernorm", out=0), "it writes embedding a second time"),
    (
        with_operation(PLAN, "layers.0.add", out=1),
        "it writes layers.0.input_layernorm a second time",
    ),
)
# What JSON, which the plans for the C++ checker are made of, has no word for.
NOT_FINITE = (
    (with_operation(PLAN, "layers.0.attention", scale=float("nan")), "scale nan is not positive"),
    (with_operation(PLAN, "embed", scale=float("inf")), "scale inf is not finite"),
)
BROKEN = (*REFUSED, *ONLY_EXPORT_REFUSES, *NOT_FINITE)


@pytest.mark.parametrize(("plan", "name"), ACCEPTED, ids=[name for _, name in ACCEPTED])
def test_accepts_what_lies_within_the_border(plan: p.Plan, name: str) -> None:
    validate(plan)


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
    swapped = with_operation(PLAN, "layers.0.attention", q=2)
    steps = [step for step in swapped.steps if step.name != "layers.0.prepare"]
    with pytest.raises(p.PlanError, match=r"layers\.0\.kv_cache is read before it is written"):
        validate(dataclasses.replace(PLAN, steps=tuple(steps)))


def test_plans_of_a_program_agree() -> None:
    decode = fake_plan("decode", max_tokens=1)
    validate_together([PLAN, decode])
    with pytest.raises(p.PlanError, match=r"cache layers\.0\.kv_cache differs"):
        validate_together([PLAN, fake_plan("decode", max_tokens=1, capacity=12)])
    other = with_weight(decode, "q_proj.weight", layout=p.Layout.F16, bytes=64 * 32 * 2)
    with pytest.raises(p.PlanError, match=r"weight q_proj\.weight differs"):
        validate_together([PLAN, other])
    with pytest.raises(p.PlanError, match="method prefill occurs twice"):
        validate_together([PLAN, PLAN])
