"""How the inputs of a method (docs/formats.md, "Methods") appear in patterns."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from python.export.pattern import Var, shape

_aten = torch.ops.aten


def method_input(name: str) -> Var:
    """The method's input of that name."""

    def is_input(value: Any) -> bool:
        return isinstance(value, fx.Node) and value.op == "placeholder" and value.target == name

    return Var(name, is_input)


def token_count(graph: fx.Graph) -> Var:
    """The number of tokens of the call: a node where it is dynamic, a number where it is not."""
    tokens = next(n for n in graph.nodes if n.op == "placeholder" and n.target == "tokens")

    def is_count(value: Any) -> bool:
        if not isinstance(value, fx.Node):
            return isinstance(value, int) and value == shape(tokens)[1]
        if value.op != "call_function" or value.target is not _aten.sym_size.int:
            return False
        return shape(value.args[0])[value.args[1]] == shape(tokens)[1]  # type: ignore[arg-type,index]

    return Var("token_count", is_count)


def erase_unused(nodes: list[fx.Node]) -> None:
    """Erases those of the nodes that nothing uses any more; `nodes` in the graph's order."""
    for node in reversed(nodes):
        if not node.users:
            node.graph.erase_node(node)
