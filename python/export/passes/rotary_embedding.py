"""Rotary position embedding -> one `rotate`.

It turns the pairs (i, i + head_dim / 2) of a head by position * frequencies[i].
Two patterns: the rotation itself, and the tables
of cosines and sines that all layers of a kind share.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from python.export import plan_ops
from python.export.passes.method_inputs import erase_unused, method_input, token_count
from python.export.pattern import Call, GraphError, Match, Var, calls, match, replace

_aten = torch.ops.aten
_CHUNKS = Call(_aten.chunk.default, [Var("x"), 2, -1])
_FIRST = Call(operator.getitem, [_CHUNKS, 0])
_SECOND = Call(operator.getitem, [_CHUNKS, 1])


def _times(a: Any, b: Any) -> Call:
    return Call(_aten.mul.Tensor, [a, b], swaps=True)


_COS, _SIN = Var("cosines"), Var("sines")
_TURNED_FIRST = Call(_aten.sub.Tensor, [_times(_FIRST, _COS), _times(_SECOND, _SIN)])
_TURNED_SECOND = Call(_aten.add.Tensor, [_times(_SECOND, _COS), _times(_FIRST, _SIN)], swaps=True)
_ROTATION = Call(_aten.cat.default, [[_TURNED_FIRST, _TURNED_SECOND], -1])


def run(graph: fx.Graph) -> None:
    """Raises GraphError where a rotation's tables are not those of the call's positions."""
    tables: set[fx.Node] = set()
    for node in calls(graph, _aten.cat.default):
        found = match(_ROTATION, node)
        if found is None:
            continue
        cosines = _table(graph, _aten.cos.default, found["cosines"], node)
        sines = _table(graph, _aten.sin.default, found["sines"], node)
        if cosines["frequencies"] is not sines["frequencies"]:
            raise GraphError(
                f"pass rotary_embedding: node {node.name} has cosines and sines of different angles"
            )
        tables.update(cosines.nodes, sines.nodes)
        kwargs = {"x": found["x"], "frequencies": cosines["frequencies"]}
        replace("rotary_embedding", found, plan_ops.rotate, kwargs)
    erase_unused([node for node in graph.nodes if node in tables])


def _table(graph: fx.Graph, function: Callable[..., Any], node: Any, rotation: fx.Node) -> Match:
    """Matches function(float(start + 0, 1, ...)[:, None, None] * frequencies)."""
    steps = Call(_aten.arange.default, [token_count(graph)], any_kwargs=True)
    positions = Call(_aten.add.Tensor, [method_input("start"), steps], swaps=True)
    column = Call(
        _aten.view.default, [Call(_aten.to.dtype, [positions, torch.float32]), [-1, 1, 1]]
    )
    found = match(Call(function, [_times(column, Var("frequencies"))]), node)
    if found is None:
        raise GraphError(
            f"pass rotary_embedding: node {rotation.name} turns by {node}, which is not a table of"
            " the call's positions"
        )
    return found
