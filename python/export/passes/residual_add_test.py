import torch

from python.export import plan_ops
from python.export.passes import residual_add
from python.export.pattern import calls
from python.export.testing.example_graphs import graph_of, number, stream, targets


def test_two_activations() -> None:
    graph = graph_of(lambda x, y: x + y, x=stream(), y=stream())
    residual_add.run(graph)
    (node,) = calls(graph, plan_ops.add)
    assert (str(node.kwargs["a"]), str(node.kwargs["b"])) == ("kwargs_x", "kwargs_y")


def test_numbers_other_shapes_and_positions_are_left() -> None:
    graph = graph_of(
        lambda x, w, n: (x + 1, x + w, n + n), x=stream(), w=torch.zeros(1, 1, 8), n=number()
    )
    residual_add.run(graph)
    assert targets(graph) == ["add.Tensor"] * 3
