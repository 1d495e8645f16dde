"""The draw of a token, -1 where `emit` is 0 -> Sample."""

from __future__ import annotations

import torch
from torch import fx

from python.export import plan_ops
from python.export.passes.method_inputs import method_input, token_count
from python.export.passes.model_operators import SAMPLE
from python.export.pattern import Call, GraphError, Var, calls, match, replace

_aten = torch.ops.aten


def run(graph: fx.Graph) -> None:
    """Raises GraphError where the draw does not follow the method's own inputs."""
    next_position = Call(_aten.add.Tensor, [method_input("start"), token_count(graph)])
    drawn = Call(
        SAMPLE,
        [Var("logits"), method_input("sampling"), method_input("seed"), next_position],
    )
    silent = Call(_aten.eq.Scalar, [method_input("emit"), 0])
    pattern = Call(_aten.where.ScalarSelf, [silent, -1, drawn])
    for node in calls(graph, _aten.where.ScalarSelf):
        if found := match(pattern, node):
            replace("sample", found, plan_ops.sample, {"logits": found["logits"]})
    for node in calls(graph, SAMPLE):
        raise GraphError(
            f"pass sample: node {node.name} is not drawn from the method's sampling and seed at the"
            " next position, with -1 where emit is 0"
        )
