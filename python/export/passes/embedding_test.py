import torch
from torch.nn import functional

from python.export import plan_ops
from python.export.passes import embedding
from python.export.pattern import calls
from python.export.testing.example_graphs import HIDDEN, graph_of, stream, targets, tokens

_WEIGHT = torch.zeros(5, HIDDEN)


def test_the_scale_is_folded_in() -> None:
    graph = graph_of(
        lambda tokens, w: functional.embedding(tokens, w) * 2.5, tokens=tokens(), w=_WEIGHT
    )
    embedding.run(graph)
    (node,) = calls(graph, plan_ops.embed)
    assert targets(graph) == ["embed"]
    assert node.kwargs["scale"] == 2.5
    assert str(node.kwargs["weight"]) == "kwargs_w"


def test_without_a_scale_it_is_one() -> None:
    graph = graph_of(lambda tokens, w: functional.embedding(tokens, w), tokens=tokens(), w=_WEIGHT)
    embedding.run(graph)
    assert calls(graph, plan_ops.embed)[0].kwargs["scale"] == 1.0


def test_other_ids_and_other_factors_are_left() -> None:
    graph = graph_of(
        lambda tokens, targets, w, x: functional.embedding(targets, w) * x + tokens[..., None],
        tokens=tokens(), targets=tokens(), w=_WEIGHT, x=stream(),
    )  # fmt: skip
    before = targets(graph)
    embedding.run(graph)
    assert targets(graph) == before
