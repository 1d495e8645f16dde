"""Head, softcap and the scoring operator -> one Score: no step holds the logits of all tokens."""

from __future__ import annotations

import operator

import torch
from torch import fx

from python.export import plan_ops
from python.export.passes.method_inputs import method_input
from python.export.passes.model_operators import SCORE
from python.export.pattern import Call, GraphError, Var, calls, match, replace

_aten = torch.ops.aten
_HEAD = Call(_aten.linear.default, [Var("source"), Var("weight")])
_CAPPED = Call(plan_ops.softcap, [], {"source": _HEAD, "cap": Var("softcap")})


def _score(logits: Call) -> Call:
    return Call(SCORE, [logits, method_input("targets"), Var("top")])


def run(graph: fx.Graph) -> None:
    """Raises GraphError where it scores something else, or the method gives something else."""
    for node in calls(graph, SCORE):
        found = match(_score(_CAPPED), node) or match(_score(_HEAD), node)
        if found is None:
            raise GraphError(
                f"pass score: node {node.name} does not score the logits of a head against the"
                " targets"
            )
        _check_results(graph, node)
        names = ("source", "weight", "top")
        kwargs = {"softcap": 0.0, **{n: found[n] for n in names}}
        kwargs["softcap"] = found.bound.get("softcap", 0.0)
        made = replace("score", found, plan_ops.score, kwargs)
        output = graph.output_node()
        results = list(output.all_input_nodes)
        output.args = ((made,),)
        for result in results:
            graph.erase_node(result)


def _check_results(graph: fx.Graph, node: fx.Node) -> None:
    (results,) = graph.output_node().args
    expected = [(operator.getitem, (node, index)) for index in range(3)]
    assert isinstance(results, tuple | list)
    found = [(r.target, r.args) if isinstance(r, fx.Node) else (None, ()) for r in results]
    if found != expected:
        raise GraphError(f"pass score: the method does not give the three results of {node.name}")
