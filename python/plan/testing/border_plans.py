"""Plans on both sides of every border: those that both checkers refuse, and those that both accept.

`plan_check_test` holds the Python checker to them, and cc/plan/border_plans_test the C++ one, to
the bytes that `to_json_lines` makes of them. What export alone refuses stands in `plan_check_test`.
"""

import dataclasses
import json
import sys
from typing import Any

from python.plan import flatc, plan_bytes
from python.plan import plan as p
from python.plan.limits import LIMITS
from python.plan.testing.fake_plan import HIDDEN, VOCAB, fake_plan


def with_operation(plan: p.Plan, which: str, /, **changes: Any) -> p.Plan:
    """The plan with fields of a step's operation changed."""
    steps = [
        dataclasses.replace(step, operation=dataclasses.replace(step.operation, **changes))
        if step.name == which
        else step
        for step in plan.steps
    ]
    assert steps != list(plan.steps)
    return dataclasses.replace(plan, steps=tuple(steps))


def with_weight(plan: p.Plan, which: str, /, **changes: Any) -> p.Plan:
    """The plan with fields of a weight changed."""
    weights = [dataclasses.replace(w, **changes) if w.name == which else w for w in plan.weights]
    return dataclasses.replace(plan, weights=tuple(weights))


def with_cache(plan: p.Plan, **changes: Any) -> p.Plan:
    """The plan with fields of its only cache changed."""
    return dataclasses.replace(plan, caches=(dataclasses.replace(plan.caches[0], **changes),))


def with_value(plan: p.Plan, index: int, **changes: Any) -> p.Plan:
    """The plan with fields of a value changed."""
    values = list(plan.values)
    values[index] = dataclasses.replace(values[index], **changes)
    return dataclasses.replace(plan, values=tuple(values))


def _of_vocabulary(size: int) -> p.Plan:
    """A plan of another vocabulary, whole."""
    plan = dataclasses.replace(fake_plan(), vocab_size=size)
    plan = with_weight(plan, "embed_tokens.weight", rows=size, bytes=size * HIDDEN * 4)
    for index, value in enumerate(plan.values):
        if value.columns == VOCAB:
            plan = with_value(plan, index, columns=size)
    return plan


def _of_heads(heads: int) -> p.Plan:
    """A plan of so many query heads of 2, whole."""
    cache, plan = 2, fake_plan()
    plan = with_cache(plan, head_dim=cache)
    sizes = {"q_proj.weight": heads * cache, "k_proj.weight": cache, "v_proj.weight": cache}
    for name, rows in sizes.items():
        plan = with_weight(plan, name, rows=rows, bytes=rows * HIDDEN * 4)
    for name, columns in {
        "q_norm.weight": 2,
        "k_norm.weight": 2,
        "rope.sliding.frequencies": 1,
    }.items():
        plan = with_weight(plan, name, columns=columns, bytes=columns * 4)
    plan = with_weight(
        plan, "o_proj.weight", columns=heads * cache, bytes=heads * cache * HIDDEN * 4
    )
    for index, value in enumerate(plan.values):
        if value.name in ("q_proj", "rotated_q", "attention"):
            plan = with_value(plan, index, columns=heads * cache)
        if value.name in ("k_proj", "v_proj"):
            plan = with_value(plan, index, columns=cache)
    for name in ("layers.0.prepare", "layers.0.attention"):
        plan = with_operation(plan, name, heads=heads)
    return plan


def _of_projections(count: int) -> p.Plan:
    """A plan in which one Linear has `count` projections; the last ones are of no further use."""
    plan = fake_plan()
    first, values = len(plan.weights), len(plan.values)
    weights = [
        dataclasses.replace(plan.weights[1], name=f"more.{i}", data_key=f"more.{i}",
                            rows=1, columns=HIDDEN, bytes=4 * HIDDEN)
        for i in range(count - 3)
    ]  # fmt: skip
    more = [p.Value(name=f"more.{i}", columns=1, rows=p.Rows.TOKENS) for i in range(count - 3)]
    qkv = next(step.operation for step in plan.steps if step.name == "layers.0.qkv")
    assert isinstance(qkv, p.Linear)
    plan = dataclasses.replace(
        plan, weights=(*plan.weights, *weights), values=(*plan.values, *more)
    )
    return with_operation(
        plan, "layers.0.qkv",
        weights=(*qkv.weights, *range(first, first + count - 3)),
        outs=(*qkv.outs, *range(values, values + count - 3)),
    )  # fmt: skip


def _insert(plan: p.Plan, before: str, *steps: p.Step) -> p.Plan:
    at = next(i for i, step in enumerate(plan.steps) if step.name == before)
    return dataclasses.replace(plan, steps=(*plan.steps[:at], *steps, *plan.steps[at:]))


def _step(plan: p.Plan, name: str) -> p.Step:
    return next(step for step in plan.steps if step.name == name)


def _named(length: int) -> p.Plan:
    return dataclasses.replace(fake_plan(), model="m" * length)


def _prepared_after_select(plan: p.Plan) -> p.Plan:
    """The last token is selected, from the embedding, before the cache is written."""
    plan = dataclasses.replace(
        plan, steps=tuple(step for step in plan.steps if step.name != "select_last")
    )
    last = _step(fake_plan(), "select_last")
    assert isinstance(last.operation, p.SelectLast)
    early = p.Step(name=last.name, operation=dataclasses.replace(last.operation, input=0))
    return _insert(plan, "layers.0.input_layernorm", early)


PLAN = fake_plan()
SCORE = fake_plan("score")
LAST = len(PLAN.values)

# What both refuse, and what of the Python checker's sentence says why.
REFUSED: tuple[tuple[p.Plan, str], ...] = (
    # the header
    (dataclasses.replace(PLAN, version=2), "plan version 2 is not 1"),
    (dataclasses.replace(PLAN, method="train"), "unknown method train"),
    (dataclasses.replace(PLAN, method="decode"), "max_tokens of decode is 8 (1 to 1 are allowed)"),
    (dataclasses.replace(PLAN, max_tokens=65), "max_tokens of prefill is 65 (1 to 64"),
    (dataclasses.replace(PLAN, max_tokens=0), "max_tokens of prefill is 0"),
    (dataclasses.replace(PLAN, max_context=0), "max_context is 0 (1 to 16777216"),
    (fake_plan(max_context=LIMITS.max_context + 1), "max_context is 16777217"),
    (
        fake_plan(
            max_tokens=LIMITS.max_tokens + 1, max_context=1 << 20, capacity=LIMITS.max_tokens + 4
        ),
        "max_tokens of prefill is 65537 (1 to 65536",
    ),
    (dataclasses.replace(PLAN, vocab_size=0), "vocab_size is 0 (1 to 4194304"),
    (_of_vocabulary(LIMITS.vocab_size + 1), "vocab_size is 4194305"),
    # names and tables
    (_named(0), "length of the name '' is 0 (1 to 256"),
    (_named(LIMITS.name_bytes + 1), "is 257 (1 to 256"),
    (dataclasses.replace(PLAN, model="a b"), "the name 'a b' has more than letters"),
    (with_value(PLAN, 3, name="k\u00fc"), "has more than letters"),
    (
        dataclasses.replace(PLAN, values=PLAN.values + PLAN.values[:1]),
        "value embedding occurs twice",
    ),
    (dataclasses.replace(PLAN, caches=PLAN.caches * 2), "cache layers.0.kv_cache occurs twice"),
    (with_weight(PLAN, "norm.weight", name="q_proj.weight"), "weight q_proj.weight occurs twice"),
    (
        dataclasses.replace(PLAN, caches=PLAN.caches * (LIMITS.caches + 1)),
        "number of caches is 1025 (0 to 1024",
    ),
    (
        dataclasses.replace(PLAN, values=PLAN.values * (LIMITS.values // len(PLAN.values) + 1)),
        "(0 to 16384 are allowed)",
    ),
    # weights
    (
        with_weight(PLAN, "norm.weight", bytes=127),
        "norm.weight: 127 bytes, but F32 of 1 x 32 takes 128",
    ),
    (
        with_weight(PLAN, "q_proj.weight", data_key="norm.weight"),
        "weights q_proj.weight and norm.weight share the data norm.weight, but differ",
    ),
    (
        with_weight(PLAN, "q_proj.weight", layout=p.Layout.INT4, group=24, bytes=1),
        "q_proj.weight: group 24 does not divide 32 columns",
    ),
    (
        with_weight(PLAN, "q_proj.weight", layout=p.Layout.Q4_K, bytes=1),
        "q_proj.weight: Q4_K has blocks of 256 columns, which do not divide 32",
    ),
    (with_weight(PLAN, "q_proj.weight", group=32), "q_proj.weight: F32 has no groups"),
    (with_weight(PLAN, "q_proj.weight", rows=0), "q_proj.weight: a weight of 0 x 32 is empty"),
    # caches
    (with_cache(PLAN, capacity=10), "capacity 10 is less than the 11 positions that 8 tokens"),
    (with_cache(PLAN, window=0), "capacity 11 is less than the 64 positions"),
    (with_cache(PLAN, head_dim=31), "head_dim 31 is odd"),
    (with_cache(PLAN, head_dim=0), "head_dim is 0 (2 to 512"),
    (with_cache(PLAN, head_dim=LIMITS.head_dim + 2), "head_dim is 514"),
    (with_cache(PLAN, head_dim=16), "step layers.0.prepare: q_proj has 64 columns"),
    (with_cache(PLAN, kv_heads=0), "kv_heads is 0"),
    (with_cache(PLAN, kv_heads=LIMITS.heads + 1), "kv_heads is 4097 (1 to 4096"),
    (with_cache(PLAN, kv_heads=3), "2 query heads do not divide into 3 key/value heads"),
    (with_cache(PLAN, capacity=LIMITS.max_context + 1), "capacity is 16777217"),
    (with_cache(PLAN, capacity=64, window=LIMITS.max_context + 1), "window is 16777217"),
    # values
    (with_value(PLAN, 0, columns=0), "value embedding: columns is 0 (1 to 4194304"),
    (with_value(PLAN, 0, columns=LIMITS.columns + 1), "columns is 4194305"),
    # the order of the steps
    (dataclasses.replace(PLAN, steps=()), "the plan has no steps"),
    (dataclasses.replace(PLAN, steps=PLAN.steps[:-1]), "step softcap: a plan ends with"),
    (dataclasses.replace(PLAN, steps=PLAN.steps[1:]), "it reads embedding before any step wrote"),
    (dataclasses.replace(PLAN, steps=PLAN.steps + PLAN.steps[-1:]), "step sample occurs twice"),
    (dataclasses.replace(PLAN, method="score"), "step sample: score ends with Score"),
    (
        _insert(PLAN, "norm", p.Step(name="select_last", operation=p.SelectLast(input=0, out=1))),
        "step select_last occurs twice",
    ),
    (
        _insert(
            dataclasses.replace(
                PLAN, values=(*PLAN.values, p.Value(name="x", columns=HIDDEN, rows=p.Rows.ONE))
            ),
            "norm",
            p.Step(name="again", operation=p.SelectLast(input=0, out=LAST)),
        ),
        "step again: it is the second SelectLast",
    ),
    (_prepared_after_select(PLAN), "step layers.0.prepare: it writes a cache after SelectLast"),
    (
        dataclasses.replace(
            PLAN, steps=tuple(s for s in PLAN.steps if s.name != "layers.0.attention")
        ),
        "step layers.0.o_proj: it reads attention before any step wrote it",
    ),
    # operands
    (with_operation(PLAN, "embed", out=LAST), f"index {LAST} of a value that is written"),
    (with_operation(PLAN, "embed", weight=p.ABSENT), "step embed: it has no weight"),
    (with_operation(PLAN, "embed", out=p.ABSENT), "step embed: it has no out"),
    (with_operation(PLAN, "layers.0.input_layernorm", input=p.ABSENT), "it has no in"),
    (with_operation(PLAN, "layers.0.qkv", weights=(2, 3, -1)), "it has no weights"),
    (with_operation(PLAN, "layers.0.prepare", cache=1), "index 1 of a cache is outside 0 to 0"),
    (with_operation(PLAN, "layers.0.prepare", q_norm=p.ABSENT), "it has no q_norm"),
    (with_operation(PLAN, "layers.0.prepare", frequencies=p.ABSENT), "it has no frequencies"),
    (with_operation(PLAN, "layers.0.prepare", k=p.ABSENT), "it has no k"),
    (with_operation(PLAN, "sample", logits=p.ABSENT), "it has no logits"),
    # shapes and numbers
    (dataclasses.replace(PLAN, vocab_size=41), "step embed: rows of the embedding is 40, not 41"),
    (
        with_weight(PLAN, "norm.weight", rows=2, bytes=256),
        "norm.weight is F32 2 x 32, not F32 1 x 32",
    ),
    (
        with_operation(PLAN, "layers.0.input_layernorm", width=7),
        "width 7 does not divide 32 columns",
    ),
    (with_operation(PLAN, "layers.0.input_layernorm", width=0), "width 0 does not divide"),
    (with_operation(PLAN, "layers.0.input_layernorm", epsilon=0.0), "epsilon 0.0 is not positive"),
    (with_operation(PLAN, "layers.0.qkv", outs=(2, 3)), "number of outputs is 2, not 3"),
    (with_operation(PLAN, "layers.0.qkv", outs=(2, 3, 3)), "it writes k_proj a second time"),
    (
        with_operation(PLAN, "layers.0.qkv", outs=(3, 2, 4)),
        "has 32 columns and rows TOKENS, not 64",
    ),
    (_of_projections(LIMITS.linears + 1), "number of weights is 17 (1 to 16"),
    (_of_heads(LIMITS.heads + 1), "4097 query heads do not divide into 1 key/value heads"),
    (with_operation(PLAN, "layers.0.attention", scale=0.0), "scale 0.0 is not positive"),
    (with_operation(PLAN, "layers.0.attention", scale=-0.25), "scale -0.25 is not positive"),
    (with_operation(PLAN, "softcap", cap=-1.0), "cap -1.0 is not positive"),
    (with_operation(PLAN, "softcap", cap=0.0), "cap 0.0 is not positive"),
    (with_operation(PLAN, "layers.0.gelu", up=0), "embedding has 32 columns"),
    (with_operation(SCORE, "score", top=0), "top is 0 (1 to 16"),
    (with_operation(SCORE, "score", top=LIMITS.score_top + 1), "top is 17 (1 to 16"),
    (with_operation(SCORE, "score", softcap=-1.0), "softcap -1.0 is negative"),
)

# What both accept, up to the border: what it is, and the plan.
ACCEPTED: tuple[tuple[p.Plan, str], ...] = (
    *((fake_plan(m, max_tokens=1 if m == "decode" else 8), m) for m in p.Plan.METHODS),
    *(
        (dataclasses.replace(PLAN, activations=precision), f"activations {precision.name}")
        for precision in p.ActivationPrecision
    ),
    *((with_cache(PLAN, dtype=dtype), f"cache of {dtype.name}") for dtype in p.DType),
    (
        fake_plan(window=0, max_context=LIMITS.max_context, capacity=LIMITS.max_context),
        "the longest context",
    ),
    (
        fake_plan(
            max_tokens=LIMITS.max_tokens, max_context=1 << 20, capacity=LIMITS.max_tokens + 3
        ),
        "the longest call",
    ),
    (fake_plan(max_tokens=64, capacity=64), "calls as long as the context"),
    (with_cache(PLAN, window=LIMITS.max_context, capacity=64), "the widest window"),
    (_of_vocabulary(LIMITS.vocab_size), "the largest vocabulary"),
    (_of_heads(LIMITS.heads), "the most heads"),
    (_of_projections(LIMITS.linears), "the most projections"),
    (_named(LIMITS.name_bytes), "the longest name"),
    (_named(1), "the shortest name"),
    (with_operation(SCORE, "score", top=LIMITS.score_top), "the most ids of a score"),
    (with_operation(SCORE, "score", softcap=0.0), "a score without softcap"),
    (with_operation(PLAN, "embed", scale=-2.0), "a negative scale of the embedding"),
    (
        with_weight(PLAN, "k_proj.weight", data_key="v_proj.weight"),
        "two weights that are the same bytes",
    ),
    (
        with_weight(PLAN, "q_proj.weight", layout=p.Layout.INT4, group=32, bytes=64 * 16 + 64 * 4),
        "one scale a row",
    ),
)


def to_json_lines() -> str:
    """A JSON object a line: what it is, whether both accept it, and the plan's bytes in hexadecimal."""
    lines = []
    for plans, accepted in ((REFUSED, False), (ACCEPTED, True)):
        for plan, name in plans:
            data = flatc.json_to_bytes([plan_bytes.SCHEMA], plan_bytes.to_json(plan))
            lines.append(json.dumps({"name": name, "accepted": accepted, "plan": data.hex()}))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(to_json_lines())
