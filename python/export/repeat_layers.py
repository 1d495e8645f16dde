"""Makes the plan of all layers from a plan in which each kind of layer occurs once.

Tracing 60 layers takes minutes and gives 60 copies of two blocks of steps; the copies are made
here. What must stay true: the result equals the plan traced from the whole model
(repeat_layers_test.py), and a block meets the rest of the plan in one value that it reads and one
that it writes: the residual stream.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from python.export.pattern import GraphError
from python.plan import plan as p

_LAYER = re.compile(r"layers\.(\d+)\.")


def representatives(kinds: Sequence[str]) -> dict[str, int]:
    """The first layer of each kind: the layers to trace."""
    first: dict[str, int] = {}
    for layer, kind in enumerate(kinds):
        first.setdefault(kind, layer)
    return first


def repeat_layers(plan: p.Plan, kinds: Sequence[str]) -> p.Plan:
    """The plan of a model whose layer N is of kind kinds[N].

    Args:
      plan: the plan of the same method with the layers
      `representatives(kinds)` alone, each value written once.

    Raises:
      GraphError: the plan does not consist of a beginning, one block a representative, and an end.
    """
    first, *blocks, last = _blocks(plan, representatives(kinds))
    by_layer = {block.layer: block for block in blocks}
    copy = _Copy(plan)
    stream = copy.append(first, {}, None)
    for layer, kind in enumerate(kinds):
        block = by_layer[representatives(kinds)[kind]]
        stream = copy.append(block, {block.stream_in: stream}, layer)
    copy.append(last, {last.stream_in: stream}, None)
    return copy.plan()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Block:
    """Steps of one layer, or those before or after all layers (`layer` None)."""

    layer: int | None
    steps: tuple[p.Step, ...]
    stream_in: int  # the value that it reads from the block before; ABSENT in the first one
    stream_out: int  # the value that the block after it reads; ABSENT in the last one


def _blocks(plan: p.Plan, expected: Mapping[str, int]) -> list[_Block]:
    groups = [
        (layer, tuple(steps))
        for layer, steps in itertools.groupby(plan.steps, lambda step: _layer_of(step.name))
    ]
    if [layer for layer, _ in groups] != [None, *sorted(expected.values()), None]:
        found = ", ".join(str(layer) for layer, _ in groups if layer is not None)
        wanted = ", ".join(str(layer) for layer in sorted(expected.values()))
        raise GraphError(
            f"the steps are not a beginning, one block for each of the layers {wanted}, and an end"
            f" (blocks: {found})"
        )
    borders = [_crossing(plan, left, right) for (_, left), (_, right) in itertools.pairwise(groups)]
    return [
        _Block(layer=layer, steps=steps, stream_in=entry, stream_out=exit_)
        for (layer, steps), entry, exit_ in zip(
            groups, [p.ABSENT, *borders], [*borders, p.ABSENT], strict=True
        )
    ]


def _layer_of(name: str) -> int | None:
    found = _LAYER.match(name)
    return int(found[1]) if found else None


def _crossing(plan: p.Plan, left: Sequence[p.Step], right: Sequence[p.Step]) -> int:
    """The one value that `right` reads and does not write, which must be one that `left` writes."""
    written = {v for step in right for v in p.operands(step.operation, p.Role.WRITES)}
    read = {v for step in right for v in p.operands(step.operation, p.Role.READS)} - written
    offered = {v for step in left for v in p.operands(step.operation, p.Role.WRITES)}
    if len(read) != 1 or not read <= offered:
        names = ", ".join(plan.values[v].name for v in sorted(read))
        raise GraphError(
            f"the steps from {right[0].name} on read {names}; they may read one value of the block"
            " before"
        )
    return read.pop()


class _Copy:
    """A plan that grows by copies of blocks; tables are filled in the order of first use."""

    def __init__(self, source: p.Plan) -> None:
        self._source = source
        self._steps: list[p.Step] = []
        self._values: dict[str, p.Value] = {}
        self._weights: dict[str, p.Weight] = {}
        self._caches: dict[str, p.Cache] = {}

    def append(self, block: _Block, streams: Mapping[int, int], layer: int | None) -> int:
        """Copies a block under a layer's number; returns the index of what the copy hands on."""
        self._layer = layer
        self._streams = streams
        table = {
            p.Role.READS: self._value,
            p.Role.WRITES: self._value,
            p.Role.WEIGHT: self._weight,
            p.Role.CACHE: self._cache,
        }
        for step in block.steps:
            operation = p.map_operands(step.operation, table)
            self._steps.append(p.Step(name=self._renamed(step.name), operation=operation))
        return p.ABSENT if block.stream_out == p.ABSENT else self._value(block.stream_out)

    def plan(self) -> p.Plan:
        return dataclasses.replace(
            self._source,
            steps=tuple(self._steps),
            values=tuple(self._values.values()),
            weights=tuple(self._weights.values()),
            caches=tuple(self._caches.values()),
        )

    def _renamed(self, name: str) -> str:
        return name if self._layer is None else _LAYER.sub(f"layers.{self._layer}.", name, count=1)

    def _value(self, index: int) -> int:
        if index in self._streams:
            return self._streams[index]
        return _entered(self._values, self._source.values[index], self._renamed)

    def _weight(self, index: int) -> int:
        weight = self._source.weights[index]
        renamed = dataclasses.replace(weight, data_key=self._renamed(weight.data_key))
        return _entered(self._weights, renamed, self._renamed)

    def _cache(self, index: int) -> int:
        return _entered(self._caches, self._source.caches[index], self._renamed)


_Entry = TypeVar("_Entry", p.Value, p.Weight, p.Cache)


def _entered(table: dict[str, _Entry], entry: _Entry, renamed: Callable[[str], str]) -> int:
    """Index of an entry under its new name, after adding it where it is not there yet."""
    name = renamed(entry.name)
    table.setdefault(name, dataclasses.replace(entry, name=name))
    return list(table).index(name)
