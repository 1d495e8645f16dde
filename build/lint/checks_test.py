"""Every kind of file that we write is looked at by the right tools."""

import pathlib

import pytest

from build.lint import checks

CHECKS = checks.all_checks("buildifier", "ruff", "clang-format", "python3 -m mypy")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("BUILD.bazel", {"buildifier"}),
        ("cc/engine/BUILD.bazel", {"buildifier"}),
        ("third_party/python/interpreter.BUILD", {"buildifier"}),
        ("build/testing.bzl", {"buildifier"}),
        ("python/model/gemma_config.py", {"ruff", "ruff format", "mypy"}),
        ("third_party/python/lock.py", {"ruff", "ruff format"}),
        ("cc/engine/engine.h", {"clang-format"}),
        ("cc/kernels/cuda/linear.cu", {"clang-format"}),
        ("bazelw", {"bash"}),
        (".ci/run", {"bash"}),
        ("README.md", set()),
    ],
)
def test_files_meet_their_tools(path: str, names: set[str]) -> None:
    assert {check.name for check in CHECKS if check.files([path])} == names


def test_deleted_files_and_links_are_left_out(tmp_path: pathlib.Path) -> None:
    (tmp_path / "here.py").touch()
    (tmp_path / "link.py").symlink_to("here.py")
    assert checks.lintable("here.py\0link.py\0gone.py\0", tmp_path) == ["here.py"]
