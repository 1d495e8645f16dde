"""Tests of main: each runs a program in its own process and looks at exit code and words."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import pytest

_PROGRAM = """
'''Does one thing.

    program --mode done
'''
import os, signal, sys, time
from absl import flags
from python.console import errors, flag_types, main, progress
_MODE = flags.DEFINE_string("mode", None, "What to do.", required=True)
flags.DEFINE_integer("count", 7, "How often.", lower_bound=1)
flags.DEFINE_integer("shard_bytes", None, "Size.", lower_bound=1024)
flags.DEFINE_float("share", None, "How much.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_enum("kind", "round", ["round", "square"], "Which kind.")
flags.DEFINE_bool("overwrite", False, "Replace it.")
flags.DEFINE_bool("dither", True, "Move the weights.")
flags.DEFINE_list("rows", ["a", "b"], "Which rows.")
flag_types.define_tokens("max_seq_len", 4096, "Positions.", most=131072)
flag_types.define_path("output", None, "Where to.")
progress.define_progress_flag()
def program():
    if _MODE.value == "done": print("result")
    if _MODE.value == "user": raise errors.UserError("group 48 does not\\ndivide 64 (use 32)")
    if _MODE.value == "usage": raise errors.UsageError("unknown recipe 'x'")
    if _MODE.value == "format": raise errors.FormatError("a.gguf", "bad magic")
    if _MODE.value == "os": open("/nonexistent/file")
    if _MODE.value == "bug": raise KeyError("a bug")
    if _MODE.value == "torch": raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. "
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000 bytes. Error")
    if _MODE.value == "memory": raise MemoryError
    if _MODE.value == "note": main.note("it rounds")
    if _MODE.value == "long": print("line\\n" * 100_000)
    if _MODE.value == "path": print(main.user_path("x/y"))
    if _MODE.value == "wait":
        print("ready", flush=True)
        time.sleep(60)
main.run(program)
"""


def _start(
    tmp_path: Path,
    *arguments: str,
    stdout: IO[str] | int = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
    program: str = _PROGRAM,
) -> subprocess.Popen[str]:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(program))
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, str(path), *arguments], stdout=stdout, stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
    )  # fmt: skip


def _run(tmp_path: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = _start(tmp_path, *arguments, environment=environment)
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
    assert _run(tmp_path, *arguments) == (code, "", f"program: {sentence}\n")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--nonsense=1", "unknown flag --nonsense (--help lists them)"),
        ("--outputs=1", "unknown flag --outputs (did you mean --output? --help lists the flags)"),
        ("--max-seq-len=1", "unknown flag --max-seq-len (did you mean --max_seq_len? --help lists"
         " the flags)"),
        ("--output", "--output needs a value; --help lists the flags"),
        ("--output=", "--output '' is empty, and so no path"),
        ("--count=many", "--count 'many' is not a positive integer"),
        ("--count=0", "--count '0' is not a positive integer"),
        ("--shard_bytes=5GB", "--shard_bytes '5GB' is not an integer >= 1024"),
        ("--share=1.5", "--share '1.5' is not a number in the range [0.0, 1.0]"),
        ("--kind=flat", "--kind 'flat' is none of round, square"),
        ("--overwrite=maybe", "--overwrite 'maybe' is neither true nor false (--overwrite alone, or"
         " --nooverwrite)"),
        ("--max_seq_len=1m", "--max_seq_len '1m' is not a number of tokens, 1 to 131072 (32768, or"
         " 32k for it)"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_a_usage_error(tmp_path: Path, argument: str, sentence: str) -> None:
    assert _run(tmp_path, "--mode=done", argument) == (2, "", f"program: {sentence}\n")


_HELP = """Does one thing.

    program --mode done

Required:
  --mode TEXT                 What to do.

Options:
  --count N                   How often. Default: 7.
  --shard_bytes N             Size.
  --share X                   How much.
  --kind round|square         Which kind. Default: round.
  --overwrite                 Replace it.
  --dither                    Move the weights. Default: yes (--nodither).
  --rows A,B,...              Which rows. Default: a, b.
  --max_seq_len TOKENS        Positions. Default: 4096.
  --output PATH               Where to.

Every program:
"""


@pytest.mark.parametrize("argument", ["--help", "-h", "--helpfull"])
def test_help_shows_every_flag_of_the_program_and_none_of_the_library(
    tmp_path: Path, argument: str
) -> None:
    code, out, err = _run(tmp_path, argument, COLUMNS="100")
    assert (code, err) == (0, "")
    assert out.startswith(_HELP)
    common = out.removeprefix(_HELP)
    assert [line.split()[0] for line in common.splitlines() if line.startswith("  --")] == [
        "--progress", "--quiet", "--help", "--version"
    ]  # fmt: skip
    assert all(len(line) <= 100 for line in out.splitlines())


def test_the_version_is_the_modules(tmp_path: Path) -> None:
    code, out, err = _run(tmp_path, "--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"program \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("torch", r"not enough memory: 4\.00 GB were asked for, .*B are available"),
        ("memory", r"not enough memory: an allocation failed, .*B are available"),
    ],
)
def test_no_memory_is_a_sentence(tmp_path: Path, mode: str, sentence: str) -> None:
    code, out, err = _run(tmp_path, f"--mode={mode}")
    assert (code, out) == (1, "")
    assert re.fullmatch(f"program: {sentence}.*\n", err)


def test_notes(tmp_path: Path) -> None:
    assert _run(tmp_path, "--mode=note") == (0, "", "it rounds\n")
    assert _run(tmp_path, "--mode=note", "--quiet") == (0, "", "")
    assert _run(tmp_path, "--mode=note", "--progress=none") == (0, "", "it rounds\n")
    assert _run(tmp_path, "--mode=note", "--progress=json") == (0, "", '{"note": "it rounds"}\n')


@pytest.mark.parametrize("mode", ["done", "long"])
def test_a_reader_that_has_gone(tmp_path: Path, mode: str) -> None:
    process = _start(tmp_path, f"--mode={mode}")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1


@pytest.mark.parametrize("mode", ["done", "long"])
def test_results_that_no_disk_takes(tmp_path: Path, mode: str) -> None:
    with open("/dev/full", "w") as full:
        process = _start(tmp_path, f"--mode={mode}", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("program: ")
    assert err.endswith("No space left on device\n")
    assert err.count("\n") == 1


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
    assert (process.returncode, err) == (130, "program: interrupted\n")


def test_interrupted_before_it_runs(tmp_path: Path) -> None:
    """As in the seconds that an import of torch takes."""
    process = _start(
        tmp_path, program="import time\nfrom python.console import main\n"
        "print('ready', flush=True)\ntime.sleep(60)\n",
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (-signal.SIGINT, "program: interrupted\n")


def test_paths_start_where_the_user_stands(tmp_path: Path) -> None:
    assert (
        _run(tmp_path, "--mode=path", BUILD_WORKING_DIRECTORY="/somewhere")[1] == "/somewhere/x/y\n"
    )
