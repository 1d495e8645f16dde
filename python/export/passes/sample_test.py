from typing import Any

import pytest
import torch

from python.export.passes import sample
from python.export.pattern import GraphError
from python.export.testing.example_graphs import graph_of, number, stream, targets, tokens
from python.model import ops


def _graph(body: Any) -> torch.fx.Graph:
    shapes = {1: torch.export.Dim("tokens", min=1, max=9)}
    return graph_of(
        body, {"tokens": shapes}, x=stream()[:, :1], tokens=tokens(), start=number(), emit=number(),
        sampling=torch.zeros(4), seed=number(),
    )  # fmt: skip


def test_the_draw_and_the_silent_result() -> None:
    def body(x: Any, tokens: Any, start: Any, emit: Any, sampling: Any, seed: Any) -> Any:
        return torch.where(emit == 0, -1, ops.sample(x, sampling, seed, start + tokens.shape[1]))

    graph = _graph(body)
    sample.run(graph)
    assert targets(graph) == ["sym_size.int", "sample"]


@pytest.mark.parametrize(
    "body",
    [
        lambda x, tokens, start, emit, sampling, seed: torch.where(
            emit == 0, -1, ops.sample(x, sampling, seed, start)
        ),
        lambda x, tokens, start, emit, sampling, seed: torch.where(
            emit == 1, -1, ops.sample(x, sampling, seed, start + tokens.shape[1])
        ),
        lambda x, tokens, start, emit, sampling, seed: ops.sample(
            x, sampling, seed, start + tokens.shape[1]
        ),
        lambda x, tokens, start, emit, sampling, seed: torch.where(
            emit == 0, -1, ops.sample(x, sampling, emit, start + tokens.shape[1])
        ),
    ],
    ids=["another position", "silent at 1", "never silent", "another seed"],
)
def test_others_are_refused(body: Any) -> None:
    with pytest.raises(
        GraphError, match="is not drawn from the method's sampling and seed at the next position"
    ):
        sample.run(_graph(body))
