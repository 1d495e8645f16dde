"""Small exported graphs for the tests of the passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

HIDDEN, WIDTH, HEAD_DIM, TOKENS = 8, 16, 4, 3


def graph_of(
    body: Callable[..., Any], dynamic: dict[str, Any] | None = None, **inputs: torch.Tensor
) -> fx.Graph:
    """The exported graph of body(**inputs); its placeholders have the inputs' names.

    dynamic: torch.export's dynamic shapes of some inputs.
    """

    class Module(torch.nn.Module):
        def forward(self, kwargs: dict[str, torch.Tensor]) -> Any:
            return body(**kwargs)

    # torch.export takes one tensor given twice for one input.
    inputs = {name: tensor.clone() for name, tensor in inputs.items()}
    shapes = {name: (dynamic or {}).get(name) for name in inputs}
    program = torch.export.export(Module(), (inputs,), dynamic_shapes=({**shapes},), strict=False)
    graph = program.graph_module.graph
    for node in graph.find_nodes(op="placeholder"):
        node.target = node.name.removeprefix("kwargs_")
    return graph


def targets(graph: fx.Graph) -> list[str]:
    """Names of what the graph's nodes call, in order."""
    return [
        getattr(node.target, "__name__", str(node.target))
        for node in graph.nodes
        if node.op == "call_function"
    ]


def stream(columns: int = HIDDEN) -> torch.Tensor:
    """Activations [1, tokens, columns]."""
    return torch.zeros(1, TOKENS, columns)


def tokens() -> torch.Tensor:
    """int64 [1, tokens]."""
    return torch.zeros(1, TOKENS, dtype=torch.int64)


def number() -> torch.Tensor:
    """int64 [1]."""
    return torch.zeros(1, dtype=torch.int64)
