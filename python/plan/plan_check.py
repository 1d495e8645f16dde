"""Checks of a plan that FlatBuffers cannot make: indices, shapes, sizes, order of the steps.

The same rules as cc/plan/plan_check, so that a plan that cannot run is refused at export, by
name. What must stay true: each value is written once, before it is read, so that cc/plan knows
from the steps alone how long it lives and which values may share memory.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from python.console.errors import UserError
from python.plan import plan as p

_UINT32_MAX = 2**32 - 1


def validate(plan: p.Plan) -> None:
    """Raises PlanError where the plan contradicts itself."""
    _check_header(plan)
    _check_names(plan)
    for weight in plan.weights:
        _check_weight(weight)
    for cache in plan.caches:
        _check_cache(plan, cache)
    for value in plan.values:
        _require(0 < value.columns <= _UINT32_MAX, f"value {value.name}: it has no columns")
    _check_steps(plan)
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


# Tables


def _check_header(plan: p.Plan) -> None:
    _require(plan.version == p.VERSION, f"plan version {plan.version} is not {p.VERSION}")
    _require(plan.method in p.Plan.METHODS, f"unknown method {plan.method}")
    _require(0 < plan.vocab_size < 2**31, f"vocabulary size {plan.vocab_size} is out of range")
    _require(
        0 < plan.max_tokens <= plan.max_context < 2**31,
        f"max_tokens {plan.max_tokens} is not within 1 to max_context {plan.max_context}",
    )
    _require(
        plan.method != "decode" or plan.max_tokens == 1,
        f"decode: max_tokens {plan.max_tokens} is not 1",
    )


def _check_names(plan: p.Plan) -> None:
    _require_unique("weight", (weight.name for weight in plan.weights))
    _require_unique("data key", (weight.data_key for weight in plan.weights))
    _require_unique("cache", (cache.name for cache in plan.caches))
    _require_unique("value", (value.name for value in plan.values))
    _require_unique("step", (step.name for step in plan.steps))


def _check_weight(weight: p.Weight) -> None:
    try:
        expected = weight.shape.bytes
    except UserError as error:
        raise p.PlanError(f"weight {weight.name}: {error}") from None
    _require(
        weight.bytes == expected,
        f"weight {weight.name}: {weight.bytes} bytes, but {weight.layout.name} of"
        f" {weight.rows} x {weight.columns} takes {expected}",
    )


def _check_cache(plan: p.Plan, cache: p.Cache) -> None:
    _require(
        cache.kv_heads > 0 and cache.head_dim > 0 and cache.head_dim % 2 == 0,
        f"cache {cache.name}: {cache.kv_heads} heads of {cache.head_dim} (a head is even and not"
        " empty)",
    )
    needed = plan.max_context
    if cache.window > 0:
        needed = min(needed, cache.window - 1 + plan.max_tokens)
    _require(
        needed <= cache.capacity < 2**31,
        f"cache {cache.name}: capacity {cache.capacity} is less than the {needed} positions that"
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
        self._positive("number of weights", len(operation.weights))
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
        _require(
            0 < operation.top <= self._plan.vocab_size,
            f"step {self._step.name}: top {operation.top} of {self._plan.vocab_size} ids",
        )
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
            heads > 0 and heads % cache.kv_heads == 0,
            f"step {self._step.name}: {heads} query heads do not divide into {cache.kv_heads}"
            " key/value heads",
        )
