"""Patterns over FX graphs: what a group of nodes looks like, and what it is replaced with.

A pattern is a tree of `Call`s whose leaves are `Var`s (anything, bound to a name) or plain values
(equal). What must stay true: a match is exact, every argument and keyword included, and `replace`
refuses to take away a node that something outside of the match still uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from python.console.errors import UserError


class GraphError(UserError):
    """A graph that the exporter does not understand. One sentence that names the node."""


@dataclasses.dataclass(frozen=True)
class Var:
    """Binds whatever stands here to `name`; the same name twice must bind the same thing."""

    name: str
    where: Callable[[Any], bool] | None = None


@dataclasses.dataclass(frozen=True)
class Call:
    """A call_function node.

    `any_kwargs`: keywords do not matter; `swaps`: the two arguments may stand either way.
    """

    target: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    any_kwargs: bool = False
    swaps: bool = False


@dataclasses.dataclass(frozen=True)
class Match:
    """Bound variables, and the nodes that the pattern's calls stand for (the root is the last)."""

    bound: Mapping[str, Any]
    nodes: tuple[fx.Node, ...]

    def __getitem__(self, name: str) -> Any:
        return self.bound[name]


def match(pattern: Call, node: Any) -> Match | None:
    """How the pattern fits the node and what leads to it, or None."""
    return _match(pattern, node, Match({}, ()))


def _match(pattern: Any, value: Any, so_far: Match) -> Match | None:
    if isinstance(pattern, Var):
        return _match_var(pattern, value, so_far)
    if isinstance(pattern, Call):
        return _match_call(pattern, value, so_far)
    if isinstance(pattern, list):
        return _match_sequence(pattern, value, so_far)
    return so_far if type(pattern) is type(value) and pattern == value else None


def _match_var(pattern: Var, value: Any, so_far: Match) -> Match | None:
    if pattern.where is not None and not pattern.where(value):
        return None
    if pattern.name in so_far.bound:
        bound = so_far.bound[pattern.name]
        same = bound is value if isinstance(value, fx.Node) else bound == value
        return so_far if same else None
    return Match({**so_far.bound, pattern.name: value}, so_far.nodes)


def _match_call(pattern: Call, value: Any, so_far: Match) -> Match | None:
    if (
        not isinstance(value, fx.Node)
        or value.op != "call_function"
        or value.target is not pattern.target
    ):
        return None
    if not pattern.any_kwargs and value.kwargs.keys() != pattern.kwargs.keys():
        return None
    orders = [list(pattern.args)] + ([list(reversed(pattern.args))] if pattern.swaps else [])
    keywords = list(pattern.kwargs.values())
    keyword_values = [value.kwargs.get(key) for key in pattern.kwargs]
    for arguments in orders:
        found = _match_sequence([*arguments, *keywords], [*value.args, *keyword_values], so_far)
        if found is not None:
            nodes = found.nodes if value in found.nodes else (*found.nodes, value)
            return Match(found.bound, nodes)
    return None


def _match_sequence(pattern: Sequence[Any], value: Any, so_far: Match) -> Match | None:
    if not isinstance(value, list | tuple) or len(value) != len(pattern):
        return None
    found: Match | None = so_far
    for part, item in zip(pattern, value, strict=True):
        if found is not None:
            found = _match(part, item, found)
    return found


def replace(
    pass_name: str,
    found: Match,
    target: Callable[..., Any],
    kwargs: Mapping[str, Any],
    *,
    keep: Sequence[fx.Node] = (),
) -> fx.Node:
    """Puts one call of `target` where the match's root stands, and erases the match.

    Args:
      pass_name: named in the error.
      kwargs: keyword arguments of the new call.
      keep: nodes of the match that others may use as well, and that stay.

    Raises:
      GraphError: a node of the match, other than its root and `keep`, is used outside of it.
    """
    root = found.nodes[-1]
    inside = set(found.nodes)
    for node in found.nodes[:-1]:
        outside = [user.name for user in node.users if user not in inside]
        if outside and node not in keep:
            raise GraphError(
                f"pass {pass_name}: node {node.name} is also used by {outside[0]}, outside of what"
                f" {root.name} stands for"
            )
    with root.graph.inserting_before(root):
        made = root.graph.call_function(target, kwargs=dict(kwargs))
    made.meta = dict(root.meta)
    root.replace_all_uses_with(made)
    for node in reversed(found.nodes):
        if node not in keep:
            root.graph.erase_node(node)
    return made


def calls(graph: fx.Graph, target: Callable[..., Any]) -> list[fx.Node]:
    """The graph's calls of a target, in order."""
    return [n for n in graph.nodes if n.op == "call_function" and n.target is target]


def shape(node: fx.Node) -> tuple[int | torch.SymInt, ...]:
    """The shape of the tensor that a node gives."""
    return tuple(node.meta["val"].shape)
