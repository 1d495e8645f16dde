"""Runs this repository's programs in processes forked from one that has imported what they need: for tests.

Importing torch and ExecuTorch takes seconds, more than most tests of a program run.
What must stay true: a program sees what `python -m MODULE` shows it (its arguments, environment, standard output and
error, signals), and nothing of the test: the processes are forked from a server that has run no test.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from unittest import mock

SECONDS = 280  # after which a program that has not ended is killed


class WarmPrograms:
    """Starts programs. Their imports that take long are named once, for the whole test process."""

    def __init__(self, imports: Sequence[str]) -> None:
        """`imports`: modules that define no flag. One that cannot be imported is imported by the program itself."""
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(imports))
        _start_server()

    def run(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        limits: Mapping[int, int] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end; `limits`: bytes or numbers by resource.RLIMIT_*.

        Raises subprocess.TimeoutExpired after SECONDS.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            process = self.start(
                module, *arguments, environment=environment, out=out, err=err, limits=limits
            )
            process.join(SECONDS)
            if process.exitcode is None:
                process.kill()
                raise subprocess.TimeoutExpired([module, *arguments], SECONDS)
            return subprocess.CompletedProcess(
                [module, *arguments], process.exitcode, out.read_text(), err.read_text()
            )

    def start(
        self,
        module: str,
        *arguments: str,
        out: Path,
        err: Path,
        environment: Mapping[str, str] | None = None,
        limits: Mapping[int, int] | None = None,
    ) -> ForkServerProcess:
        """Starts a program that writes into two files; its `pid` can be signalled, `exitcode` is -N for a signal N."""
        described = (module, arguments, dict(environment or {}), out, err, dict(limits or {}))
        process = self._context.Process(target=_be_program, args=described)
        process.start()
        return process


def _start_server() -> None:
    """Starts the server with this process's sys.path, which Python before 3.13 does not give it for its imports."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    with mock.patch.dict(os.environ, PYTHONPATH=path):
        forkserver.ensure_running()


def _be_program(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    out: Path,
    err: Path,
    limits: Mapping[int, int],
) -> None:
    """What the forked process does: becomes `python -m module arguments`."""
    for path, number in ((Path(os.devnull), 0), (out, 1), (err, 2)):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    for limited, limit in limits.items():
        resource.setrlimit(limited, (limit, limit))
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
