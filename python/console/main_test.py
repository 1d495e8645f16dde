"""Tests of main: each runs a program in a process of its own and looks at its exit code and its
words.
"""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

_PROGRAM = """
'''Does one thing.'''
import os, signal, sys, time
from absl import flags
from python.console import errors, main
_MODE = flags.DEFINE_string("mode", None, "What to do.", required=True)
def program():
    if _MODE.value == "done": print("result")
    if _MODE.value == "user": raise errors.UserError("group 48 does not\\ndivide 64 (use 32)")
    if _MODE.value == "usage": raise errors.UsageError("unknown recipe 'x'")
    if _MODE.value == "format": raise errors.FormatError("a.gguf", "bad magic")
    if _MODE.value == "os": open("/nonexistent/file")
    if _MODE.value == "bug": raise KeyError("a bug")
    if _MODE.value == "path": print(main.user_path("x/y"))
    if _MODE.value == "wait":
        print("ready", flush=True)
        time.sleep(60)
main.run(program)
"""


def _start(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(_PROGRAM))
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, str(program), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )  # fmt: skip


def _run(tmp_path: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = _start(tmp_path, *arguments, **environment)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_done(tmp_path: Path) -> None:
    assert _run(tmp_path, "--mode=done") == (0, "result\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--mode=user"], 1, "group 48 does not divide 64 (use 32)"),
        (["--mode=format"], 1, "a.gguf: bad magic"),
        (["--mode=os"], 1, "/nonexistent/file: No such file or directory"),
        (["--mode=usage"], 2, "unknown recipe 'x'"),
        ([], 2, "--mode must be given; --help lists the flags"),
        (["--mode=done", "extra"], 2, "'extra' is not a flag; --help lists them"),
    ],
)
def test_failures_are_one_sentence(
    tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    assert _run(tmp_path, *arguments) == (code, "", f"program.py: {sentence}\n")


def test_an_unknown_flag_is_a_usage_error(tmp_path: Path) -> None:
    code, _, err = _run(tmp_path, "--mode=done", "--nonsense=1")
    assert code == 2
    assert err.startswith("program.py: unknown flag '--nonsense'")
    assert err.count("\n") == 1


def test_help_goes_to_stdout(tmp_path: Path) -> None:
    code, out, err = _run(tmp_path, "--help")
    assert (code, err) == (0, "")
    assert "Does one thing." in out
    assert "--mode" in out


def test_a_bug_keeps_its_trace(tmp_path: Path) -> None:
    code, _, err = _run(tmp_path, "--mode=bug")
    assert code == 1
    assert "Traceback" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    process = _start(tmp_path, "--mode=wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "program.py: interrupted\n")


def test_paths_start_where_the_user_stands(tmp_path: Path) -> None:
    assert (
        _run(tmp_path, "--mode=path", BUILD_WORKING_DIRECTORY="/somewhere")[1] == "/somewhere/x/y\n"
    )
