"""Projections of one input (q, k, v; gate, up) -> one Linear, which reads its input once."""

from __future__ import annotations

import operator

import torch
from torch import fx

from python.export import plan_ops
from python.export.pattern import GraphError, calls

_aten = torch.ops.aten


def run(graph: fx.Graph) -> None:
    """Raises GraphError for a projection with a bias."""
    by_source: dict[fx.Node, list[fx.Node]] = {}
    for node in calls(graph, _aten.linear.default):
        if len(node.args) != 2 or node.kwargs:
            raise GraphError(
                f"pass linear: node {node.name} has a bias, which a plan does not know"
            )
        source = node.args[0]
        assert isinstance(source, fx.Node)
        by_source.setdefault(source, []).append(node)
    for source, nodes in by_source.items():
        _merge(source, nodes)


def _merge(source: fx.Node, nodes: list[fx.Node]) -> None:
    graph, first = nodes[0].graph, nodes[0]
    with graph.inserting_before(first):
        merged = graph.call_function(
            plan_ops.linear, kwargs={"source": source, "weights": [node.args[1] for node in nodes]}
        )
        parts = [graph.call_function(operator.getitem, (merged, i)) for i in range(len(nodes))]
    for node, part in zip(nodes, parts, strict=True):
        part.meta = dict(node.meta)
        node.replace_all_uses_with(part)
        graph.erase_node(node)
