from typing import Any

import pytest
import torch
from torch.nn import functional

from python.export import plan_ops
from python.export.passes import norms, select_last
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import HIDDEN, graph_of, number, stream, targets
from python.model import ops


def test_the_last_row() -> None:
    graph = graph_of(lambda x: x[:, -1:], x=stream())
    select_last.run(graph)
    assert targets(graph) == ["select_last"]


@pytest.mark.parametrize("body", [lambda x: x[:, :1], lambda x: x[:, -2:], lambda x: x[..., -1:]])
def test_other_slices_are_refused(body: Any) -> None:
    with pytest.raises(GraphError, match="does not select the last token"):
        select_last.run(graph_of(body, x=stream()))


def _sampled(rows: int, *, norm: bool = True) -> torch.fx.Graph:
    def body(x: Any, w: Any, sampling: Any, seed: Any) -> Any:
        y = functional.rms_norm(x, (HIDDEN,), w, 1e-6) if norm else x
        return ops.sample(functional.linear(y, w[None]), sampling, seed, seed)

    graph = graph_of(
        body,
        x=torch.zeros(1, rows, HIDDEN),
        w=torch.zeros(HIDDEN),
        sampling=torch.zeros(4),
        seed=number(),
    )
    norms.run(graph)
    return graph


def test_one_token_is_the_last_one() -> None:
    graph = _sampled(1)
    select_last.run(graph)
    graph.lint()
    (last,) = calls(graph, plan_ops.select_last)
    (norm,) = calls(graph, plan_ops.rms_norm)
    assert norm.kwargs["source"] is last
    assert str(last.kwargs["source"]) == "kwargs_x"


@pytest.mark.parametrize(
    "graph", [_sampled(3), _sampled(1, norm=False)], ids=["three tokens", "no norm"]
)
def test_other_heads_are_refused(graph: torch.fx.Graph) -> None:
    with pytest.raises(
        GraphError, match="node sample samples after several tokens or without a final norm"
    ):
        select_last.run(graph)
