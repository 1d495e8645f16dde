"""RMS norms, with what surrounds them: (residual + norm(x)) * layer scalar -> one RmsNorm."""

from __future__ import annotations

import torch
from torch import fx

from python.export import plan_ops
from python.export.pattern import Call, Var, calls, match, replace, shape

_aten = torch.ops.aten


def _is_scalar(value: object) -> bool:
    return isinstance(value, fx.Node) and value.op == "placeholder" and shape(value) == (1,)


_NORM = Call(_aten.rms_norm.default, [Var("source"), [Var("width")], Var("weight"), Var("epsilon")])
_RESIDUAL = Call(_aten.add.Tensor, [Var("add"), _NORM], swaps=True)
_SCALED = Call(_aten.mul.Tensor, [_RESIDUAL, Var("scalar", _is_scalar)], swaps=True)


def run(graph: fx.Graph) -> None:
    for pattern, root in (
        (_SCALED, _aten.mul.Tensor),
        (_RESIDUAL, _aten.add.Tensor),
        (_NORM, _aten.rms_norm.default),
    ):
        for node in calls(graph, root):
            if found := match(pattern, node):
                kwargs = {"add": None, "scalar": None, **found.bound}
                replace("norms", found, plan_ops.rms_norm, kwargs)
