"""The list of forbidden dependencies, which the build made, is empty (rules.bzl)."""

import os
from pathlib import Path


def test_no_forbidden_dependency() -> None:
    assert Path(os.environ["LABELS"]).read_text().split() == []
