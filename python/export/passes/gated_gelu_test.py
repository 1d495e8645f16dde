from typing import Any

import pytest
from torch.nn import functional

from python.export import plan_ops
from python.export.passes import gated_gelu
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import graph_of, stream, targets


@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: functional.gelu(x, approximate="tanh") * y,
        lambda x, y: y * functional.gelu(x, approximate="tanh"),
    ],
)
def test_gelu_times_up(body: Any) -> None:
    graph = graph_of(body, x=stream(), y=stream())
    gated_gelu.run(graph)
    assert targets(graph) == ["gated_gelu"]
    (node,) = calls(graph, plan_ops.gated_gelu)
    assert (str(node.kwargs["gate"]), str(node.kwargs["up"])) == ("kwargs_x", "kwargs_y")


@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: functional.gelu(x) * y,
        lambda x, y: functional.gelu(x, approximate="tanh") * 2.0,
        lambda x, y: functional.gelu(x, approximate="tanh") + y,
    ],
    ids=["erf", "a number", "a sum"],
)
def test_others_are_refused(body: Any) -> None:
    with pytest.raises(
        GraphError, match="node gelu is not gelu in its tanh form times another projection"
    ):
        gated_gelu.run(graph_of(body, x=stream(), y=stream()))
