"""Tests: pytest_test runs pytest on the files of one target."""

load("@rules_python//python:py_test.bzl", "py_test")

def pytest_test(name, srcs, deps = [], args = [], tags = [], **kwargs):
    """A py_test that runs pytest on `srcs`. It fails if they hold no test, and shows why a test was skipped.

    Sharding (`shard_count`) and `--test_filter` (as pytest's -k) work. The time limit of a hypothesis example is off and its
    choices are the same on every run, so a slow machine changes no result.

    Args:
      name: the test.
      srcs: files with tests; conftest.py and other helpers belong into a py_library in `deps`.
      deps: what the tests import.
      args: more arguments for pytest.
      tags: tags of the test.
      **kwargs: passed on to py_test.
    """
    py_test(
        name = name,
        srcs = srcs + ["//build:pytest_main.py"],
        args = ["$(rootpath %s)" % src for src in srcs] + args,
        main = "//build:pytest_main.py",
        tags = tags + ["python"],
        deps = depset(deps + ["@python_deps//:pytest"]).to_list(),
        **kwargs
    )
