"""Checks of a plan that FlatBuffers cannot make: indices, shapes, sizes, order of the steps.

What cc/plan/plan_check refuses is refused here too, so that a plan that cannot run is refused at
export, by name; testing/border_plans.py holds both to it. Two rules are export's own: each value
is written once, and every entry of the tables is used.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterable, Sequence

from python.console.errors import UserError
from python.plan import plan as p
from python.plan.limits import LIMITS

_NAME = re.compile(r"[A-Za-z0-9._/,-]+")


def validate(plan: p.Plan) -> None:
    """Raises PlanError where the plan contradicts itself."""
    _check_header(plan)
    _check_counts(plan)
    _check_names(plan)
    for weight in plan.weights:
        _check_weight(weight)
    _check_shared_data(plan.weights)
    for cache in plan.caches:
        _check_cache(plan, cache)
    for value in plan.values:
        _check_range(f"value {value.name}: columns", value.columns, 1, LIMITS.columns)
    _check_steps(plan)
    _check_select(plan)
    _check_all_used(plan)


def validate_together(plans: Sequence[p.Plan]) -> None:
    """Raises PlanError where plans of one program disagree about a shared weight or cache."""
    _require_unique("method", (plan.method for plan in plans))
    weights: dict[str, p.Weight] = {}
    caches: dict[str, p.Cache] = {}
    for plan in plans:
        validate(plan)
        for weight in plan.weights:
            _require(
                weights.setdefault(weight.name, weight) == weight,
                f"{plan.method}: weight {weight.name} differs from the one in another method",
            )
        for cache in plan.caches:
            _require(
                caches.setdefault(cache.name, cache) == cache,
                f"{plan.method}: cache {cache.name} differs from the one in another method",
            )


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise p.PlanError(sentence)


def _require_unique(kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _require(name not in seen, f"{kind} {name} occurs twice")
        seen.add(name)


def _check_range(what: str, number: int, least: int, most: int) -> None:
    _require(least <= number <= most, f"{what} is {number} ({least} to {most} are allowed)")


# Tables


def _check_header(plan: p.Plan) -> None:
    _require(plan.version == p.VERSION, f"plan version {plan.version} is not {p.VERSION}")
    _require(plan.method in p.Plan.METHODS, f"unknown method {plan.method}")
    _check_range("vocab_size", plan.vocab_size, 1, LIMITS.vocab_size)
    _check_range("max_context", plan.max_context, 1, LIMITS.max_context)
    most = 1 if plan.method == "decode" else min(LIMITS.max_tokens, plan.max_context)
    _check_range(f"max_tokens of {plan.method}", plan.max_tokens, 1, most)


def _check_counts(plan: p.Plan) -> None:
    for table in ("weights", "caches", "values", "steps"):
        _check_range(f"number of {table}", len(getattr(plan, table)), 0, getattr(LIMITS, table))


def _check_names(plan: p.Plan) -> None:
    names = [plan.model, *(weight.data_key for weight in plan.weights)]
    for table in (plan.weights, plan.caches, plan.values, plan.steps):
        names += [entry.name for entry in table]
    for name in names:
        _check_range(f"length of the name {name!r:.40}", len(name), 1, LIMITS.name_bytes)
        _require(
            _NAME.fullmatch(name) is not None,
            f"the name {name!r:.40} has more than letters, digits and ._-/,",
        )
    _require_unique("weight", (weight.name for weight in plan.weights))
    _require_unique("cache", (cache.name for cache in plan.caches))
    _require_unique("value", (value.name for value in plan.values))
    _require_unique("step", (step.name for step in plan.steps))


def _check_weight(weight: p.Weight) -> None:
    _require(
        weight.group == 0 or weight.layout.has_groups,
        f"weight {weight.name}: {weight.layout.name} has no groups, but its group is"
        f" {weight.group}",
    )
    try:
        expected = weight.shape.bytes
    except UserError as error:
        raise p.PlanError(f"weight {weight.name}: {error}") from None
    _require(
        weight.bytes == expected,
        f"weight {weight.name}: {weight.bytes} bytes, but {weight.layout.name} of"
        f" {weight.rows} x {weight.columns} takes {expected}",
    )


def _check_shared_data(weights: Sequence[p.Weight]) -> None:
    """Weights that share bytes must read them in the same way."""
    first: dict[str, p.Weight] = {}
    for weight in weights:
        other = first.setdefault(weight.data_key, weight)
        _require(
            dataclasses.replace(weight, name=other.name) == other,
            f"weights {other.name} and {weight.name} share the data {weight.data_key}, but differ"
            " in layout, shape or group",
        )


def _check_cache(plan: p.Plan, cache: p.Cache) -> None:
    name = f"cache {cache.name}:"
    _check_range(f"{name} kv_heads", cache.kv_heads, 1, LIMITS.heads)
    _check_range(f"{name} head_dim", cache.head_dim, 2, LIMITS.head_dim)
    _require(cache.head_dim % 2 == 0, f"{name} head_dim {cache.head_dim} is odd")
    _check_range(f"{name} window", cache.window, 0, LIMITS.max_context)
    _check_range(f"{name} capacity", cache.capacity, 1, LIMITS.max_context)
    needed = plan.max_context
    if cache.window > 0:
        needed = min(needed, cache.window - 1 + plan.max_tokens)
    _require(
        needed <= cache.capacity,
        f"{name} capacity {cache.capacity} is less than the {needed} positions that"
        f" {plan.max_tokens} tokens with window {cache.window} need",
    )


# Steps


def _check_steps(plan: p.Plan) -> None:
    written: set[int] = set()
    prepared: set[int] = set()
    for position, step in enumerate(plan.steps):
        operation = step.operation
        _check_indices(plan, step)
        reads = set(p.operands(operation, p.Role.READS))
        writes = list(p.operands(operation, p.Role.WRITES))
        for index in sorted(reads - written):
            _require(
                False,
                f"step {step.name}: it reads {plan.values[index].name} before any step wrote it",
            )
        for index in writes:
            _require(
                index not in written,
                f"step {step.name}: it writes {plan.values[index].name} a second time",
            )
            written.add(index)
        _Shapes(plan, step).check(operation)
        _check_cache_order(plan, step, prepared)
        last = position == len(plan.steps) - 1
        ends = isinstance(operation, p.Sample | p.Score)
        _require(last == ends, f"step {step.name}: a plan ends with its only Sample or Score")
    _require(bool(plan.steps), "the plan has no steps")
    final = plan.steps[-1]
    expected = p.Score if plan.method == "score" else p.Sample
    _require(
        isinstance(final.operation, expected),
        f"step {final.name}: {plan.method} ends with {expected.__name__}",
    )


def _check_indices(plan: p.Plan, step: p.Step) -> None:
    tables = {
        p.Role.READS: plan.values,
        p.Role.WRITES: plan.values,
        p.Role.WEIGHT: plan.weights,
        p.Role.CACHE: plan.caches,
    }
    for name, index in p.required_operands(step.operation):
        _require(index != p.ABSENT, f"step {step.name}: it has no {name}")
    for role, table in tables.items():
        for index in p.operands(step.operation, role):
            _require(
                0 <= index < len(table),
                f"step {step.name}: index {index} of {role.value} is outside 0 to {len(table) - 1}",
            )


def _check_cache_order(plan: p.Plan, step: p.Step, prepared: set[int]) -> None:
    """A layer's cache is written once, before it is read."""
    for index in p.operands(step.operation, p.Role.CACHE):
        name = plan.caches[index].name
        if isinstance(step.operation, p.PrepareAttention):
            _require(index not in prepared, f"step {step.name}: {name} is written a second time")
            prepared.add(index)
        else:
            _require(index in prepared, f"step {step.name}: {name} is read before it is written")


def _check_select(plan: p.Plan) -> None:
    """What follows SelectLast may be skipped: there is one at most, and no cache is written then."""
    selected = False
    for step in plan.steps:
        if isinstance(step.operation, p.SelectLast):
            _require(plan.method != "score", f"step {step.name}: score has no SelectLast")
            _require(not selected, f"step {step.name}: it is the second SelectLast")
            selected = True
        elif isinstance(step.operation, p.PrepareAttention):
            _require(not selected, f"step {step.name}: it writes a cache after SelectLast")


def _check_all_used(plan: p.Plan) -> None:
    for role, kind, names in (
        (p.Role.WEIGHT, "weight", [weight.name for weight in plan.weights]),
        (p.Role.CACHE, "cache", [cache.name for cache in plan.caches]),
        (p.Role.WRITES, "value", [value.name for value in plan.values]),
    ):
        used = {i for step in plan.steps for i in p.operands(step.operation, role)}
        for index, name in enumerate(names):
            _require(index in used, f"{kind} {name} is used by no step")


class _Shapes:
    """Shape rules of one step; `check` picks the rule of the operation's type."""

    def __init__(self, plan: p.Plan, step: p.Step) -> None:
        self._plan = plan
        self._step = step

    @functools.singledispatchmethod
    def check(self, operation: object) -> None:
        raise p.PlanError(f"step {self._step.name}: unknown operation {type(operation).__name__}")

    @check.register
    def _(self, operation: p.Embed) -> None:
        weight = self._plan.weights[operation.weight]
        self._same("rows of the embedding", weight.rows, self._plan.vocab_size)
        _require(
            math.isfinite(operation.scale),
            f"step {self._step.name}: scale {operation.scale} is not finite",
        )
        self._value(operation.out, weight.columns, p.Rows.TOKENS)

    @check.register
    def _(self, operation: p.RmsNorm) -> None:
        source = self._plan.values[operation.input]
        _require(
            operation.width > 0 and source.columns % operation.width == 0,
            f"step {self._step.name}: width {operation.width} does not divide {source.columns}"
            " columns",
        )
        self._positive("epsilon", operation.epsilon)
        self._vector(operation.weight, operation.width)
        self._vector(operation.scalar, 1)
        if operation.add != p.ABSENT:
            self._value(operation.add, source.columns, source.rows)
        self._value(operation.out, source.columns, source.rows)

    @check.register
    def _(self, operation: p.Linear) -> None:
        source = self._plan.values[operation.input]
        self._same("number of outputs", len(operation.outs), len(operation.weights))
        _check_range(
            f"step {self._step.name}: number of weights",
            len(operation.weights), 1, LIMITS.linears,
        )  # fmt: skip
        for index, out in zip(operation.weights, operation.outs, strict=True):
            weight = self._plan.weights[index]
            self._same(f"columns of {weight.name}", weight.columns, source.columns)
            self._value(out, weight.rows, source.rows)

    @check.register
    def _(self, operation: p.PrepareAttention) -> None:
        cache = self._plan.caches[operation.cache]
        self._heads(operation.heads, cache)
        self._positive("epsilon", operation.epsilon)
        self._value(operation.q, operation.heads * cache.head_dim, p.Rows.TOKENS)
        self._value(operation.k, cache.kv_heads * cache.head_dim, p.Rows.TOKENS)
        if operation.v != p.ABSENT:
            self._value(operation.v, cache.kv_heads * cache.head_dim, p.Rows.TOKENS)
        self._vector(operation.q_norm, cache.head_dim)
        self._vector(operation.k_norm, cache.head_dim)
        self._vector(operation.frequencies, cache.head_dim // 2)
        self._value(operation.out, operation.heads * cache.head_dim, p.Rows.TOKENS)

    @check.register
    def _(self, operation: p.Attention) -> None:
        cache = self._plan.caches[operation.cache]
        self._heads(operation.heads, cache)
        self._positive("scale", operation.scale)
        self._value(operation.q, operation.heads * cache.head_dim, p.Rows.TOKENS)
        self._value(operation.out, operation.heads * cache.head_dim, p.Rows.TOKENS)

    @check.register
    def _(self, operation: p.GatedGelu) -> None:
        self._alike(operation.gate, operation.up, operation.out)

    @check.register
    def _(self, operation: p.Add) -> None:
        self._alike(operation.a, operation.b, operation.out)

    @check.register
    def _(self, operation: p.SelectLast) -> None:
        source = self._plan.values[operation.input]
        self._value(operation.input, source.columns, p.Rows.TOKENS)
        self._value(operation.out, source.columns, p.Rows.ONE)

    @check.register
    def _(self, operation: p.Softcap) -> None:
        self._positive("cap", operation.cap)
        self._alike(operation.input, operation.out)

    @check.register
    def _(self, operation: p.Sample) -> None:
        self._value(operation.logits, self._plan.vocab_size, p.Rows.ONE)

    @check.register
    def _(self, operation: p.Score) -> None:
        weight = self._plan.weights[operation.weight]
        self._same("rows of the head", weight.rows, self._plan.vocab_size)
        self._value(operation.input, weight.columns, p.Rows.TOKENS)
        _check_range(
            f"step {self._step.name}: top", operation.top,
            1, min(LIMITS.score_top, self._plan.vocab_size),
        )  # fmt: skip
        _require(
            0 <= operation.softcap < float("inf"),
            f"step {self._step.name}: softcap {operation.softcap} is negative or not finite",
        )

    def _same(self, what: str, found: int, expected: int) -> None:
        _require(found == expected, f"step {self._step.name}: {what} is {found}, not {expected}")

    def _positive(self, what: str, number: float) -> None:
        _require(
            0 < number < float("inf"), f"step {self._step.name}: {what} {number} is not positive"
        )

    def _value(self, index: int, columns: int, rows: p.Rows) -> None:
        value = self._plan.values[index]
        _require(
            (value.columns, value.rows) == (columns, rows),
            f"step {self._step.name}: {value.name} has {value.columns} columns and rows"
            f" {value.rows.name}, not {columns} and {rows.name}",
        )

    def _alike(self, first: int, *others: int) -> None:
        for other in others:
            value = self._plan.values[first]
            self._value(other, value.columns, value.rows)

    def _vector(self, index: int, columns: int) -> None:
        """An absent operand, or an F32 weight [1, columns]."""
        if index == p.ABSENT:
            return
        weight = self._plan.weights[index]
        _require(
            (weight.layout, weight.rows, weight.columns) == (p.Layout.F32, 1, columns),
            f"step {self._step.name}: {weight.name} is {weight.layout.name} {weight.rows} x"
            f" {weight.columns}, not F32 1 x {columns}",
        )

    def _heads(self, heads: int, cache: p.Cache) -> None:
        _require(
            0 < heads <= LIMITS.heads and heads % cache.kv_heads == 0,
            f"step {self._step.name}: {heads} query heads do not divide into {cache.kv_heads}"
            f" key/value heads (at most {LIMITS.heads})",
        )
