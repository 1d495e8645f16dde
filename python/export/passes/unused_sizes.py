"""Removes the reads of the number of tokens that no step needs any more."""

from __future__ import annotations

import torch
from torch import fx

from python.export.passes.method_inputs import erase_unused
from python.export.pattern import calls


def run(graph: fx.Graph) -> None:
    erase_unused(calls(graph, torch.ops.aten.sym_size.int))
