from typing import Any

import pytest
import torch

from python.export.passes import type_assertions
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import graph_of, targets, tokens

_ASSERTION = torch.ops.aten._assert_tensor_metadata.default


def test_true_assertions_are_removed() -> None:
    graph = graph_of(lambda tokens: tokens.to(torch.float32), tokens=tokens())
    assert len(calls(graph, _ASSERTION)) == 1
    type_assertions.run(graph)
    assert targets(graph) == ["to.dtype"]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("dtype", torch.int32, "has dtype torch.int64, not torch.int32"),
        ("sizes", [1], "asserts sizes"),
    ],
)
def test_others_are_refused(field: str, value: Any, sentence: str) -> None:
    graph = graph_of(lambda tokens: tokens.to(torch.float32), tokens=tokens())
    calls(graph, _ASSERTION)[0].update_kwarg(field, value)
    with pytest.raises(GraphError, match=sentence):
        type_assertions.run(graph)
