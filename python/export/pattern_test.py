"""Patterns match exactly, bind consistently, and never take away what others use."""

import operator
from typing import Any

import pytest
import torch
from torch import fx

from python.export.pattern import Call, GraphError, Var, calls, match, replace
from python.export.testing.example_graphs import graph_of, stream

_aten = torch.ops.aten
_ADD = Call(_aten.add.Tensor, [Var("a"), Var("b")])


def _graph(body: Any) -> fx.Graph:
    return graph_of(body, x=stream(), y=stream())


def _last(graph: fx.Graph) -> fx.Node:
    return graph.output_node().prev


def _marker(**kwargs: Any) -> None:
    raise AssertionError("it stands in a graph only")


def test_binds_in_order() -> None:
    found = match(_ADD, _last(_graph(lambda x, y: x + y)))
    assert found is not None
    assert (str(found["a"]), str(found["b"])) == ("kwargs_x", "kwargs_y")
    assert [node.name for node in found.nodes] == ["add"]


def test_one_name_binds_one_thing() -> None:
    twice = Call(_aten.add.Tensor, [Var("a"), Var("a")])
    assert match(twice, _last(_graph(lambda x, y: x + x))) is not None
    assert match(twice, _last(_graph(lambda x, y: x + y))) is None


def test_values_and_their_types_must_be_equal() -> None:
    node = _last(_graph(lambda x, y: x * 2.0))
    assert match(Call(_aten.mul.Tensor, [Var("x"), 2.0]), node) is not None
    assert match(Call(_aten.mul.Tensor, [Var("x"), 3.0]), node) is None
    assert match(Call(_aten.mul.Tensor, [Var("x"), 2]), node) is None


def test_keywords_must_be_the_same() -> None:
    node = _last(_graph(lambda x, y: torch.nn.functional.gelu(x, approximate="tanh")))
    gelu = _aten.gelu.default
    assert match(Call(gelu, [Var("x")]), node) is None
    assert match(Call(gelu, [Var("x")], {"approximate": "none"}), node) is None
    assert match(Call(gelu, [Var("x")], {"approximate": "tanh"}), node) is not None
    assert match(Call(gelu, [Var("x")], any_kwargs=True), node) is not None


def test_arguments_swap_only_where_it_is_said() -> None:
    node = _last(_graph(lambda x, y: x + y.sin()))
    arguments = [Call(_aten.sin.default, [Var("y")]), Var("x")]
    assert match(Call(_aten.add.Tensor, arguments), node) is None
    assert match(Call(_aten.add.Tensor, arguments, swaps=True), node) is not None


def test_lists_match_item_by_item() -> None:
    node = _last(_graph(lambda x, y: torch.cat((x, y), dim=-1)))
    assert match(Call(_aten.cat.default, [[Var("a"), Var("b")], -1]), node) is not None
    assert match(Call(_aten.cat.default, [[Var("a")], -1]), node) is None


def test_replaces_what_matched() -> None:
    graph = _graph(lambda x, y: (x.sin() + y).relu())
    pattern = Call(_aten.add.Tensor, [Call(_aten.sin.default, [Var("a")]), Var("b")])
    found = match(pattern, calls(graph, _aten.add.Tensor)[0])
    assert found is not None
    made = replace("test", found, _marker, found.bound)
    graph.lint()
    assert [n.target for n in graph.nodes if n.op == "call_function"] == [
        _marker,
        _aten.relu.default,
    ]
    assert made.meta["val"].shape == (1, 3, 8)


@pytest.mark.parametrize("keep", [False, True])
def test_a_shared_node_is_kept_or_refused(keep: bool) -> None:
    graph = _graph(lambda x, y: (x.sin() + y) * x.sin().cos())
    sine = calls(graph, _aten.sin.default)[0]
    calls(graph, _aten.cos.default)[0].replace_input_with(calls(graph, _aten.sin.default)[1], sine)
    pattern = Call(_aten.add.Tensor, [Call(_aten.sin.default, [Var("a")]), Var("b")])
    found = match(pattern, calls(graph, _aten.add.Tensor)[0])
    assert found is not None
    if keep:
        replace("test", found, _marker, found.bound, keep=[sine])
        graph.lint()
        assert sine in graph.nodes
    else:
        with pytest.raises(GraphError, match="pass test: node sin is also used by cos"):
            replace("test", found, _marker, found.bound)


def test_a_node_that_occurs_twice_in_a_pattern_is_listed_once() -> None:
    graph = _graph(lambda x, y: torch.add(*x.chunk(2, dim=-1)))
    chunks = Call(_aten.chunk.default, [Var("x"), 2, -1])
    halves = [Call(operator.getitem, [chunks, index]) for index in (0, 1)]
    found = match(Call(_aten.add.Tensor, halves), _last(graph))
    assert found is not None
    assert [node.name for node in found.nodes] == ["chunk", "getitem", "getitem_1", "add"]
    replace("test", found, _marker, found.bound)
    graph.lint()
