from collections.abc import Callable

import pytest
import torch

from python.export import plan_ops
from python.export.passes import rotary_embedding, type_assertions
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import HEAD_DIM, TOKENS, graph_of, number, targets, tokens
from python.model.rope import rotate

_HEADS = torch.zeros(1, TOKENS, 2, HEAD_DIM)
_FREQUENCIES = torch.zeros(HEAD_DIM // 2)
_Body = Callable[..., torch.Tensor]


def _angles(positions: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    return positions.to(torch.float32).view(-1, 1, 1) * frequencies


def _graph(body: _Body, *, dynamic: bool = False) -> torch.fx.Graph:
    shapes = {1: torch.export.Dim("tokens", min=1, max=9)} if dynamic else None
    graph = graph_of(
        body,
        {"tokens": shapes, "x": shapes},
        tokens=tokens(),
        start=number(),
        x=_HEADS,
        f=_FREQUENCIES,
        g=_FREQUENCIES,
    )
    type_assertions.run(graph)
    return graph


def _rotation(
    tokens: torch.Tensor, start: torch.Tensor, x: torch.Tensor, f: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    angles = _angles(start + torch.arange(tokens.shape[1]), f)
    return rotate(x, angles.cos(), angles.sin()) + rotate(x, angles.cos(), angles.sin())


@pytest.mark.parametrize("dynamic", [False, True])
def test_rotations_and_their_shared_tables(dynamic: bool) -> None:
    graph = _graph(_rotation, dynamic=dynamic)
    rotary_embedding.run(graph)
    assert [t for t in targets(graph) if t != "sym_size.int"] == ["rotate", "rotate", "add.Tensor"]
    for node in calls(graph, plan_ops.rotate):
        assert str(node.kwargs["frequencies"]) == "kwargs_f"


def _other_positions(
    tokens: torch.Tensor, start: torch.Tensor, x: torch.Tensor, f: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    angles = _angles(start + torch.arange(1, tokens.shape[1] + 1), f)
    return rotate(x, angles.cos(), angles.sin())


def _swapped_tables(
    tokens: torch.Tensor, start: torch.Tensor, x: torch.Tensor, f: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    angles = _angles(start + torch.arange(tokens.shape[1]), f)
    return rotate(x, angles.sin(), angles.cos())


def _two_angles(
    tokens: torch.Tensor, start: torch.Tensor, x: torch.Tensor, f: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    positions = start + torch.arange(tokens.shape[1])
    return rotate(x, _angles(positions, f).cos(), _angles(positions, g).sin())


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (_other_positions, "not a table of the call's positions"),
        (_swapped_tables, "not a table of the call's positions"),
        (_two_angles, "cosines and sines of different angles"),
    ],
)
def test_other_tables_are_refused(body: _Body, sentence: str) -> None:
    with pytest.raises(GraphError, match=sentence):
        rotary_embedding.run(_graph(body))


def _other_way_round(
    tokens: torch.Tensor, start: torch.Tensor, x: torch.Tensor, f: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    angles = _angles(start + torch.arange(tokens.shape[1]), f)
    return rotate(x, angles.cos(), -angles.sin())


def test_a_rotation_of_other_form_is_refused() -> None:
    with pytest.raises(GraphError, match="not a table"):
        rotary_embedding.run(_graph(_other_way_round))


def _interleaved(
    tokens: torch.Tensor, start: torch.Tensor, x: torch.Tensor, f: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    angles = _angles(start + torch.arange(tokens.shape[1]), f)
    first, second = x[..., 0::2], x[..., 1::2]
    return torch.cat(
        (
            first * angles.cos() - second * angles.sin(),
            second * angles.cos() + first * angles.sin(),
        ),
        dim=-1,
    )


def test_pairs_of_neighbours_are_left_for_the_final_check() -> None:
    graph = _graph(_interleaved)
    rotary_embedding.run(graph)
    assert calls(graph, plan_ops.rotate) == []
    assert len(calls(graph, torch.ops.aten.cat.default)) == 1
