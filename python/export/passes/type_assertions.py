"""Removes torch.export's assertions about types and devices, after checking them."""

from __future__ import annotations

import torch
from torch import fx

from python.export.pattern import GraphError, calls

_aten = torch.ops.aten
_CHECKED = ("dtype", "device", "layout")


def run(graph: fx.Graph) -> None:
    """Raises GraphError where an assertion does not hold."""
    for node in calls(graph, _aten._assert_tensor_metadata.default):
        (tensor,) = node.args
        assert isinstance(tensor, fx.Node)
        for field, expected in node.kwargs.items():
            if field not in _CHECKED:
                raise GraphError(
                    f"pass type_assertions: node {node.name} asserts {field}, which is not known"
                )
            found = getattr(tensor.meta["val"], field)
            if found != expected:
                raise GraphError(
                    f"pass type_assertions: node {tensor.name} has {field} {found}, not {expected}"
                )
        graph.erase_node(node)
