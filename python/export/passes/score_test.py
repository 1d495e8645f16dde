from typing import Any

import pytest
import torch
from torch.nn import functional

from python.export import plan_ops
from python.export.passes import score, softcap
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import HIDDEN, graph_of, stream, targets, tokens
from python.model import ops


def _graph(body: Any) -> torch.fx.Graph:
    graph = graph_of(body, x=stream(), w=torch.zeros(20, HIDDEN), targets=tokens())
    softcap.run(graph)
    return graph


def _capped(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch.tanh(functional.linear(x, w) / 30.0) * 30.0


@pytest.mark.parametrize(
    ("body", "cap"),
    [
        (lambda x, w, targets: ops.score(_capped(x, w), targets, 5), 30.0),
        (lambda x, w, targets: ops.score(functional.linear(x, w), targets, 5), 0.0),
    ],
)
def test_takes_in_head_and_softcap(body: Any, cap: float) -> None:
    graph = _graph(body)
    score.run(graph)
    graph.lint()
    assert targets(graph) == ["score"]
    (node,) = calls(graph, plan_ops.score)
    assert (node.kwargs["softcap"], node.kwargs["top"]) == (cap, 5)
    assert str(node.kwargs["weight"]) == "kwargs_w"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (lambda x, w, targets: ops.score(x, targets, 5), "does not score the logits of a head"),
        (
            lambda x, w, targets: ops.score(functional.linear(x, w), targets + 1, 5),
            "does not score the logits of a head",
        ),
        (
            lambda x, w, targets: ops.score(functional.linear(x, w), targets, 5)[0],
            "does not give the three results",
        ),
    ],
    ids=["no head", "other targets", "one result"],
)
def test_others_are_refused(body: Any, sentence: str) -> None:
    with pytest.raises(GraphError, match=sentence):
        score.run(_graph(body))
