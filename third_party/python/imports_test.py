"""The lock is enough to lower a program, and a test cannot import what it does not declare."""

import importlib.util
import sys

import torch
from executorch.exir import to_edge_transform_and_lower
from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer


def test_lowers_a_program() -> None:
    exported = torch.export.export(torch.nn.Linear(4, 2), (torch.ones(1, 4),))
    program = to_edge_transform_and_lower(exported).to_executorch()
    assert program.buffer[4:6] == b"ET"
    assert FlatTensorSerializer


def test_undeclared_import_fails() -> None:
    assert importlib.util.find_spec("gguf") is None


def test_packages_of_the_machine_are_out_of_reach() -> None:
    assert importlib.util.find_spec("pip") is None
    assert not [path for path in sys.path if path.endswith("dist-packages")]
