"""Sums of two activations that no norm took in -> Add."""

from __future__ import annotations

import torch
from torch import fx

from python.export import plan_ops
from python.export.pattern import Call, Match, Var, calls, match, replace, shape

_aten = torch.ops.aten
_SUM = Call(_aten.add.Tensor, [Var("a"), Var("b")])


def run(graph: fx.Graph) -> None:
    for node in calls(graph, _aten.add.Tensor):
        found = match(_SUM, node)
        if found is not None and _are_activations(found):
            replace("residual_add", found, plan_ops.add, found.bound)


def _are_activations(found: Match) -> bool:
    """Two tensors [1, tokens, columns] of one shape."""
    a, b = found["a"], found["b"]
    if not (isinstance(a, fx.Node) and isinstance(b, fx.Node)):
        return False
    return len(shape(a)) == 3 and shape(a) == shape(b)
