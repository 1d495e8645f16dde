from typing import Any

import pytest
import torch
from torch.nn import functional

from python.export import plan_ops
from python.export.passes import linear
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import HIDDEN, WIDTH, graph_of, stream, targets

_WEIGHT = torch.zeros(WIDTH, HIDDEN)


def test_projections_of_one_input_become_one() -> None:
    def body(x: Any, y: Any, a: Any, b: Any, c: Any) -> Any:
        first = functional.linear(x, a).relu()
        return first + functional.linear(y, b) + functional.linear(x, c)

    graph = graph_of(body, x=stream(), y=stream(), a=_WEIGHT, b=_WEIGHT, c=_WEIGHT)
    linear.run(graph)
    graph.lint()
    of_x, of_y = calls(graph, plan_ops.linear)
    assert str(of_x.kwargs["weights"]) == "[kwargs_a, kwargs_c]"
    assert str(of_y.kwargs["weights"]) == "[kwargs_b]"
    assert targets(graph) == [
        *("linear", "getitem", "getitem", "relu.default"),
        *("linear", "getitem", "add.Tensor", "add.Tensor"),
    ]


def test_a_bias_is_refused() -> None:
    graph = graph_of(
        lambda x, a, b: functional.linear(x, a, b), x=stream(), a=_WEIGHT, b=torch.zeros(WIDTH)
    )
    with pytest.raises(GraphError, match="node linear has a bias"):
        linear.run(graph)
