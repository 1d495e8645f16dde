"""A warm program sees and does what `python -m` would."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from python.console.testing.warm_programs import WarmPrograms

_PROGRAM = """
import os, signal, sys, time
if __name__ == "__main__":
    print(sys.argv[1:], os.environ["COLOUR"], "imported_once" in sys.modules, sys.stdin.read())
    print("a note", file=sys.stderr)
    if "wait" in sys.argv:
        sys.stdout.flush()
        time.sleep(60)
    sys.exit(3)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "a_program.py").write_text(_PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    return "a_program"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPrograms]:
    """The module that it imports once is found by this process's sys.path alone, as those of Bazel's targets are."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "imported_once.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield WarmPrograms(["imported_once"])


def test_arguments_environment_streams_and_code(programs: WarmPrograms, module: str) -> None:
    done = programs.run(module, "--flag", "x", environment={"COLOUR": "red"})
    assert done.stdout == "['--flag', 'x'] red True \n"
    assert (done.returncode, done.stderr) == (3, "a note\n")


def test_a_signal_ends_it(programs: WarmPrograms, module: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = programs.start(
        module, "wait", environment={"COLOUR": "red"}, out=out, err=tmp_path / "err"
    )
    for _ in range(600):
        if out.exists() and out.read_text():
            break
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == -signal.SIGTERM


def test_memory_is_limited(programs: WarmPrograms, tmp_path: Path) -> None:
    done = programs.run("json.tool", "/dev/zero", limits={resource.RLIMIT_DATA: 100 << 20})
    assert done.returncode != 0
    assert "MemoryError" in done.stderr
