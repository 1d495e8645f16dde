"""Gives values buffers: two values of one shape share a buffer when the first is not read after the second is written.

What must stay true: an operation's outputs are never buffers that it reads (cc/kernels relies on it), and the result
depends on the plan alone.
"""

from __future__ import annotations

import dataclasses

from python.export import plan as p


def allocate(plan: p.Plan) -> p.Plan:
    """The plan with each value replaced by a buffer. Every value of the given plan is written once."""
    last_use = _last_uses(plan)
    buffers = _Buffers(plan)
    steps = []
    for position, step in enumerate(plan.steps):
        operation = step.operation
        for value in p.operands(operation, p.Role.WRITES):
            buffers.take(value)
        table = {p.Role.READS: buffers.of, p.Role.WRITES: buffers.of}
        steps.append(dataclasses.replace(step, operation=p.map_operands(operation, table)))
        touched = {*p.operands(operation, p.Role.READS), *p.operands(operation, p.Role.WRITES)}
        for value in sorted(touched):
            if last_use[value] == position:
                buffers.give_back(value)
    return dataclasses.replace(plan, steps=tuple(steps), values=tuple(buffers.values))


def _last_uses(plan: p.Plan) -> dict[int, int]:
    last: dict[int, int] = {}
    for position, step in enumerate(plan.steps):
        for role in (p.Role.WRITES, p.Role.READS):
            for value in p.operands(step.operation, role):
                last[value] = position
    return last


class _Buffers:
    """Buffers by shape; a free one with the lowest number is taken first."""

    def __init__(self, plan: p.Plan) -> None:
        self.values: list[p.Value] = []
        self._plan = plan
        self._buffer_of: dict[int, int] = {}
        self._free: dict[tuple[p.Rows, int], list[int]] = {}

    def of(self, value: int) -> int:
        return self._buffer_of[value]

    def take(self, value: int) -> None:
        free = self._free.setdefault(self._shape(value), [])
        if free:
            self._buffer_of[value] = min(free)
            free.remove(self._buffer_of[value])
            return
        rows, columns = self._shape(value)
        number = sum((v.rows, v.columns) == (rows, columns) for v in self.values)
        name = f"{rows.name.lower()}.{columns}.{number}"
        self.values.append(p.Value(name=name, columns=columns, rows=rows))
        self._buffer_of[value] = len(self.values) - 1

    def give_back(self, value: int) -> None:
        self._free[self._shape(value)].append(self._buffer_of[value])

    def _shape(self, value: int) -> tuple[p.Rows, int]:
        entry = self._plan.values[value]
        return entry.rows, entry.columns
