"""Breaks the code on purpose, one small mutation at a time, and reports whether the tests notice.

Each mutation replaces one exact piece of text in one file, runs the tests named beside it, and restores the file, also
when it is interrupted. A mutation is *caught* when those tests fail, *missed* when they pass, and *stale* when its
text is no longer found exactly once or the mutated code does not build: missed and stale ones make the program fail.

    ./bazelw run //tests/mutations:mutate                 all of them
    ./bazelw run //tests/mutations:mutate -- --only ring  those whose name contains "ring"
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from absl import app, flags

_ONLY = flags.DEFINE_string("only", "", "Runs the mutations whose name contains this text.")
_TESTS_FAILED = 3  # Bazel's exit code when the build succeeded and a test failed.


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One deliberate mistake: `find`, which occurs once in `file`, becomes `replace`; `tests` must fail."""

    name: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]


def read_mutations(path: Path) -> list[Mutation]:
    entries = json.loads(path.read_text())
    return [Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


@contextmanager
def mutated(workspace: Path, mutation: Mutation) -> Iterator[None]:
    """Applies the mutation for the duration of the block; the file is restored byte for byte."""
    path = workspace / mutation.file
    original = path.read_text()
    path.write_text(original.replace(mutation.find, mutation.replace))
    try:
        yield
    finally:
        path.write_text(original)


def is_stale(workspace: Path, mutation: Mutation) -> bool:
    path = workspace / mutation.file
    return not path.is_file() or path.read_text().count(mutation.find) != 1


def run_tests(workspace: Path, tests: Sequence[str]) -> int:
    command = ["./bazelw", "test", "--test_output=summary", "--noshow_progress", *tests]
    return subprocess.run(command, cwd=workspace, capture_output=True, check=False).returncode


def verdict(workspace: Path, mutation: Mutation) -> str:
    """`caught`, `missed` or `stale`, with the reason."""
    if is_stale(workspace, mutation):
        return "stale: its text is not found exactly once"
    with mutated(workspace, mutation):
        code = run_tests(workspace, mutation.tests)
    if code == _TESTS_FAILED:
        return "caught"
    return "missed" if code == 0 else f"stale: the mutated code does not build (bazel exit {code})"


def main(argv: Sequence[str]) -> int:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    workspace = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"])
    mutations = read_mutations(Path(__file__).with_name("mutations.json"))
    failures = 0
    for mutation in mutations:
        if _ONLY.value not in mutation.name:
            continue
        start = time.monotonic()
        result = verdict(workspace, mutation)
        failures += result != "caught"
        print(f"{mutation.name:44} {result}  ({time.monotonic() - start:.0f} s)", flush=True)
    print("every mutation was caught" if failures == 0 else f"{failures} mutations were not caught")
    return 1 if failures else 0


if __name__ == "__main__":
    app.run(main)
