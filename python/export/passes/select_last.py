"""The last token's row -> SelectLast: what follows it is skipped when the call's `emit` is 0.

A method for one token has no such row to select: there the SelectLast goes before the final norm.
"""

from __future__ import annotations

import sys

import torch
from torch import fx

from python.export import plan_ops
from python.export.passes.model_operators import SAMPLE
from python.export.pattern import Call, GraphError, Var, calls, match, replace, shape

_aten = torch.ops.aten
_LAST = Call(_aten.slice.Tensor, [Var("source"), 1, -1, sys.maxsize])


def run(graph: fx.Graph) -> None:
    """Raises GraphError for another slice, or where several tokens reach the sampling."""
    for node in calls(graph, _aten.slice.Tensor):
        found = match(_LAST, node)
        if found is None:
            raise GraphError(f"pass select_last: node {node.name} does not select the last token")
        replace("select_last", found, plan_ops.select_last, found.bound)
    for node in calls(graph, SAMPLE):
        if not calls(graph, plan_ops.select_last):
            _insert(node)


def _insert(sample: fx.Node) -> None:
    norm = sample.args[0]
    while isinstance(norm, fx.Node) and norm.target is not plan_ops.rms_norm:
        sources = norm.all_input_nodes
        norm = sources[0] if sources else None
    if not isinstance(norm, fx.Node) or shape(norm)[1] != 1:
        raise GraphError(
            f"pass select_last: node {sample.name} samples after several tokens or without a final"
            " norm"
        )
    source = norm.kwargs["source"]
    assert isinstance(source, fx.Node)
    with norm.graph.inserting_before(norm):
        last = norm.graph.call_function(plan_ops.select_last, kwargs={"source": source})
    last.meta = dict(source.meta)
    norm.update_kwarg("source", last)
