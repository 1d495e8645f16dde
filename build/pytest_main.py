"""Runs pytest on the files that are its arguments, the way `bazel test` wants it.

Bazel's environment: TEST_TMPDIR (scratch), XML_OUTPUT_FILE (report), TESTBRIDGE_TEST_ONLY (filter),
and TEST_SHARD_INDEX of TEST_TOTAL_SHARDS (share of the tests). Without Bazel it is plain pytest.
"""

import gc
import importlib.util
import os
import pathlib
import sys

import pytest


class BazelPlugin:
    """Runs this shard's share of the tests, makes hypothesis repeatable, and leaves imports to no garbage collector.

    What torch and ExecuTorch make when they are imported are some 400,000 objects that stay. Collecting among them,
    over and over, took a quarter of a small test's time, and more.
    """

    def pytest_configure(self) -> None:
        if importlib.util.find_spec("hypothesis"):
            from hypothesis import settings

            settings.register_profile("bazel", deadline=None, derandomize=True, database=None)
            settings.load_profile("bazel")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if status_file := os.environ.get("TEST_SHARD_STATUS_FILE"):
            pathlib.Path(status_file).touch()
        shards = int(os.environ.get("TEST_TOTAL_SHARDS") or 1)
        items[:] = items[int(os.environ.get("TEST_SHARD_INDEX") or 0) :: shards]

    def pytest_collection_finish(self) -> None:
        gc.freeze()
        gc.enable()


def bazel_arguments() -> list[str]:
    """What Bazel's environment asks for, as pytest's arguments."""
    arguments = [
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:anyio",  # of a library that uses pytest, and slow to import
        "-ra",
        "--rootdir=.",
        "--config-file=/dev/null",
    ]
    if report := os.environ.get("XML_OUTPUT_FILE"):
        arguments.append(f"--junitxml={report}")
    if scratch := os.environ.get("TEST_TMPDIR"):
        arguments.append(f"--basetemp={scratch}/pytest")
    if name := os.environ.get("TESTBRIDGE_TEST_ONLY"):
        arguments += ["-k", name]
    return arguments


def main() -> int:
    gc.disable()  # until every test file is imported
    code = pytest.main(bazel_arguments() + sys.argv[1:], plugins=[BazelPlugin()])
    sharded = int(os.environ.get("TEST_TOTAL_SHARDS") or 1) > 1
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and sharded:
        return 0
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
