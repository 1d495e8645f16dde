from typing import Any

import pytest
import torch
from torch.nn import functional

from python.export import plan_ops
from python.export.passes import norms
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import HIDDEN, graph_of, stream, targets


def _norm(x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return functional.rms_norm(x, (HIDDEN,), weight, 1e-6)


def _graph(body: Any) -> torch.fx.Graph:
    return graph_of(body, x=stream(), y=stream(), w=torch.zeros(HIDDEN), s=torch.zeros(1))


@pytest.mark.parametrize(
    ("body", "add", "scalar"),
    [
        (lambda x, y, w, s: _norm(x, w), "None", "None"),
        (lambda x, y, w, s: y + _norm(x, w), "kwargs_y", "None"),
        (lambda x, y, w, s: _norm(x, w) + y, "kwargs_y", "None"),
        (lambda x, y, w, s: (y + _norm(x, w)) * s, "kwargs_y", "kwargs_s"),
    ],
)
def test_takes_in_the_residual_and_the_layer_scalar(body: Any, add: str, scalar: str) -> None:
    graph = _graph(body)
    norms.run(graph)
    assert targets(graph) == ["rms_norm"]
    (node,) = calls(graph, plan_ops.rms_norm)
    assert (str(node.kwargs["add"]), str(node.kwargs["scalar"])) == (add, scalar)
    assert (str(node.kwargs["source"]), str(node.kwargs["weight"])) == ("kwargs_x", "kwargs_w")
    assert (node.kwargs["width"], node.kwargs["epsilon"]) == (HIDDEN, 1e-6)


def test_without_a_weight() -> None:
    graph = _graph(lambda x, y, w, s: _norm(x, None))
    norms.run(graph)
    assert calls(graph, plan_ops.rms_norm)[0].kwargs["weight"] is None


def test_a_factor_that_is_not_one_number_is_left() -> None:
    graph = _graph(lambda x, y, w, s: (y + _norm(x, w)) * w)
    norms.run(graph)
    assert targets(graph) == ["rms_norm", "mul.Tensor"]


def test_a_sum_that_is_used_twice_is_refused() -> None:
    def body(x: Any, y: Any, w: Any, s: Any) -> Any:
        total = y + _norm(x, w)
        return total * s + total

    with pytest.raises(
        GraphError,
        match="pass norms: node add is also used by add_1, outside of what mul stands for",
    ):
        norms.run(_graph(body))
