"""The version of this repository, as `MODULE.bazel` states it; the C++ runner prints the same."""

from pathlib import Path


def version() -> str:
    """For instance 0.1.0."""
    return Path(__file__).with_name("version.txt").read_text(encoding="ascii").strip()
