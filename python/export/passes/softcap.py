"""cap * tanh(x / cap) -> one Softcap."""

from __future__ import annotations

import torch
from torch import fx

from python.export import plan_ops
from python.export.pattern import Call, GraphError, Var, calls, match, replace

_aten = torch.ops.aten
_CAP = Var("cap", lambda v: isinstance(v, float))
_SOFTCAP = Call(
    _aten.mul.Tensor,
    [Call(_aten.tanh.default, [Call(_aten.div.Tensor, [Var("source"), _CAP])]), _CAP],
)


def run(graph: fx.Graph) -> None:
    """Raises GraphError for a tanh that is not part of a softcap."""
    for node in calls(graph, _aten.mul.Tensor):
        if found := match(_SOFTCAP, node):
            replace("softcap", found, plan_ops.softcap, found.bound)
    for node in calls(graph, _aten.tanh.default):
        raise GraphError(f"pass softcap: node {node.name} is not cap * tanh(x / cap) with one cap")
