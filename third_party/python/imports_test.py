"""What the lock holds is enough to lower a program, and what a test does not declare it cannot import."""

import importlib.util
import sys
import unittest

import torch
from executorch.exir import to_edge_transform_and_lower


class ImportsTest(unittest.TestCase):
    def test_lowers_a_program(self) -> None:
        model = torch.nn.Linear(4, 2)
        exported = torch.export.export(model, (torch.ones(1, 4),))
        program = to_edge_transform_and_lower(exported).to_executorch()
        self.assertEqual(program.buffer[4:6], b"ET")

    def test_undeclared_import_fails(self) -> None:
        self.assertIsNone(importlib.util.find_spec("gguf"))

    def test_machine_packages_are_out_of_reach(self) -> None:
        self.assertIsNone(importlib.util.find_spec("pip"))
        self.assertFalse([path for path in sys.path if path.endswith("/dist-packages")])


if __name__ == "__main__":
    unittest.main()
