"""gelu_tanh(gate) * up -> one GatedGelu."""

from __future__ import annotations

import torch
from torch import fx

from python.export import plan_ops
from python.export.pattern import Call, GraphError, Var, calls, match, replace

_aten = torch.ops.aten
_GELU = Call(_aten.gelu.default, [Var("gate")], {"approximate": "tanh"})
_GATED = Call(_aten.mul.Tensor, [_GELU, Var("up", lambda v: isinstance(v, fx.Node))], swaps=True)


def run(graph: fx.Graph) -> None:
    """Raises GraphError for a GELU of another form, or one that gates nothing."""
    for node in calls(graph, _aten.mul.Tensor):
        if found := match(_GATED, node):
            replace("gated_gelu", found, plan_ops.gated_gelu, found.bound)
    for node in calls(graph, _aten.gelu.default):
        raise GraphError(
            f"pass gated_gelu: node {node.name} is not gelu in its tanh form times another"
            " projection"
        )
