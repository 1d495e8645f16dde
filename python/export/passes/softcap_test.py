from typing import Any

import pytest
import torch

from python.export import plan_ops
from python.export.passes import softcap
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import graph_of, stream, targets


def test_tanh_between_two_caps() -> None:
    graph = graph_of(lambda x: torch.tanh(x / 30.0) * 30.0, x=stream())
    softcap.run(graph)
    assert targets(graph) == ["softcap"]
    assert calls(graph, plan_ops.softcap)[0].kwargs["cap"] == 30.0


@pytest.mark.parametrize(
    "body",
    [lambda x: torch.tanh(x / 30.0) * 29.0, lambda x: torch.tanh(x) * 30.0],
    ids=["two caps", "no division"],
)
def test_others_are_refused(body: Any) -> None:
    with pytest.raises(GraphError, match="node tanh is not cap"):
        softcap.run(graph_of(body, x=stream()))
