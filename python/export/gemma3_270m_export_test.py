"""The export of a real GGUF: its blocks are kept, and it stays within its bound of memory."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from python.artifact import manifest
from python.console.sizes import format_bytes

_GIGABYTE = 10**9


def _export(*arguments: str, capture_output: bool = False) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = (sys.executable, "-m", "python.export.gemma3_270m")
    return subprocess.run(
        [*program, f"--checkpoint={os.environ['MODEL']}", *arguments],
        env=environment, check=True, capture_output=capture_output,
    )  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("export") / "artifact"
    start = time.monotonic()
    _export(f"--output={output}", "--progress=json")
    print(f"exported in {time.monotonic() - start:.1f} s")
    return output


def test_peak_memory(exported: Path) -> None:
    """At most 1.3 times the file and 1 GB; the rest of this process's children are smaller."""
    bound = 1.3 * Path(os.environ["MODEL"]).stat().st_size + _GIGABYTE
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"peak {format_bytes(peak)}, {peak / bound:.0%} of {format_bytes(bound)}")
    assert peak < bound


def test_the_dry_run_says_what_the_export_takes(exported: Path) -> None:
    """Its estimates of disk and memory are bounds, and not far from what was measured."""
    done = _export("--dry_run", "--format=json", "--quiet", capture_output=True)
    disk, memory, _ = json.loads(done.stdout)["does it fit"][:3]
    written = sum(path.stat().st_size for path in exported.iterdir())
    print(f"disk {written / disk['needed_bytes']:.0%} of {format_bytes(disk['needed_bytes'])}")
    assert 0.85 * disk["needed_bytes"] < written <= disk["needed_bytes"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"peak {peak / memory['needed_bytes']:.0%} of {format_bytes(memory['needed_bytes'])}")
    assert 0.7 * memory["needed_bytes"] < peak <= memory["needed_bytes"]


def test_the_weights_are_as_small_as_in_the_file(exported: Path) -> None:
    described = manifest.read(exported)
    manifest.check_files(exported, described)
    assert (described.model_name, described.recipe) == ("gemma3_270m", "none")
    assert described.tokenizer is not None
    weights = next(entry.bytes for entry in described.files if entry.name == "model.ptd")
    # The file holds the tokenizer as well.
    assert 0.9 * Path(os.environ["MODEL"]).stat().st_size < weights
    assert weights < Path(os.environ["MODEL"]).stat().st_size
