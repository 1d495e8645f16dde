"""The console scripts of the wheel: each starts a program of the tree that lies beside this file.

The tree's own top-level names, `python` and `cc`, are on the path of these programs alone.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import NoReturn

_ROOT = Path(__file__).parent


def export() -> None:
    """gemma-export."""
    _start("python.export.gemma4_31b")


def quantize() -> None:
    """gemma-quantize."""
    _start("python.quant.main")


def inspect() -> None:
    """gemma-inspect."""
    _start("python.inspect.main")


def run() -> NoReturn:
    """gemma-run: the C++ runner takes this process's place."""
    runner = _ROOT / "bin" / "runner"
    os.execv(runner, [str(runner), *sys.argv[1:]])  # noqa: S606


def _start(module: str) -> None:
    sys.path.insert(0, str(_ROOT))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
