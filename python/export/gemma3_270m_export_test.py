"""The export of a real GGUF: its blocks are kept, and it stays within its bound of memory."""

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


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("export") / "artifact"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        *(sys.executable, "-m", "python.export.gemma3_270m", "--progress=json"),
        *(f"--checkpoint={os.environ['MODEL']}", f"--output={output}"),
    ]
    start = time.monotonic()
    subprocess.run(command, env=environment, check=True)
    print(f"exported in {time.monotonic() - start:.1f} s")
    return output


def test_peak_memory(exported: Path) -> None:
    """At most 1.3 times the file and 1 GB; the rest of this process's children are smaller."""
    bound = 1.3 * Path(os.environ["MODEL"]).stat().st_size + _GIGABYTE
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"peak {format_bytes(peak)}, {peak / bound:.0%} of {format_bytes(bound)}")
    assert peak < bound


def test_the_weights_are_as_small_as_in_the_file(exported: Path) -> None:
    described = manifest.read(exported)
    manifest.check_files(exported, described)
    assert (described.model_name, described.recipe) == ("gemma3_270m", "none")
    assert described.tokenizer is not None
    weights = next(entry.bytes for entry in described.files if entry.name == "model.ptd")
    # The file holds the tokenizer as well.
    assert 0.9 * Path(os.environ["MODEL"]).stat().st_size < weights
    assert weights < Path(os.environ["MODEL"]).stat().st_size
