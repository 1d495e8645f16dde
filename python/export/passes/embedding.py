"""Embedding and its scale -> one Embed: out[t] = scale * weight[tokens[t]]."""

from __future__ import annotations

import torch
from torch import fx

from python.export import plan_ops
from python.export.passes.method_inputs import method_input
from python.export.pattern import Call, Var, calls, match, replace

_aten = torch.ops.aten
_ROWS = Call(_aten.embedding.default, [Var("weight"), method_input("tokens")])
_SCALED = Call(_aten.mul.Tensor, [_ROWS, Var("scale", lambda v: isinstance(v, float))])


def run(graph: fx.Graph) -> None:
    for node in calls(graph, _aten.mul.Tensor):
        if found := match(_SCALED, node):
            kwargs = {"weight": found["weight"], "scale": found["scale"]}
            replace("embedding", found, plan_ops.embed, kwargs)
    for node in calls(graph, _aten.embedding.default):
        if found := match(_ROWS, node):
            replace("embedding", found, plan_ops.embed, {"weight": found["weight"], "scale": 1.0})
