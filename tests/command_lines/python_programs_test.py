"""Every Python program as a user starts it: --help, --version, flags, an export that is killed.

A flag that is not in this file's lists, or no longer in --help, fails the test: the names are
contracts, which scripts depend on.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_COMMON = {"quiet", "help", "version"}
_EXPORT = {
    *("checkpoint", "output", "recipe", "max_seq_len", "max_prefill_chunk", "kv_cache_dtype"),
    *("activation_precision", "allow_lossy", "losses", "overwrite", "dry_run", "format", "timings"),
    "progress",
}
# Module -> its flags. An example in its help begins with the target's name.
PROGRAMS = {
    "python.export.gemma4_31b": _EXPORT,
    "python.export.gemma4_12b": _EXPORT,
    "python.export.gemma3_270m": _EXPORT,
    "python.export.export_shape": {
        *("model", "recipe", "max_seq_len", "max_prefill_chunk", "output", "overwrite")
    },
    "python.export.testing.make_tiny_checkpoint": {
        *("output", "num_layers", "window", "dtype", "seed", "only_token", "overwrite")
    },
    "python.quant.main": {
        *("checkpoint", "recipe", "calibration_text", "calibration_tokens", "output", "resume"),
        "calibration_chats",
        *("overwrite", "dry_run", "format", "device", "shard_bytes", "progress"),
    },
    "python.inference.gemma4_31b": {
        *(
            "checkpoint",
            "prompt",
            "raw",
            "max_new_tokens",
            "temperature",
            "top_k",
            "top_p",
            "min_p",
        ),
        *("seed", "max_seq_len", "device", "dtype", "weights", "compile", "progress"),
    },
    "python.inspect.main": {"path", "format", "steps"},
    "python.evaluate.main": {
        *("work", "checkpoint", "rows", "dither", "dither_seed", "tokens", "calibration_tokens"),
        "threads",
    },
    "python.evaluate.sample_text": {
        *("work", "output", "openings", "overwrite", "seed", "tokens", "threads", "progress")
    },
    "python.checkpoint.testing.make_synthetic": {
        *("model", "layers", "width_divisor", "vocab_size", "shard_bytes", "seed", "output"),
        "overwrite",
    },
    "third_party.checkpoints.fetch": {"checkpoint", "lock", "output", "progress"},
    "third_party.checkpoints.make_lock": {
        *("checkpoint", "repository", "revision", "folder", "gguf", "output", "overwrite"),
        "progress",
    },
}


def _command(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "100"}
    return [sys.executable, "-m", module, *arguments], environment


def _run(module: str, *arguments: str) -> tuple[int, str, str]:
    command, environment = _command(module, *arguments)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", PROGRAMS)
def test_help_lists_the_flags_of_the_program_and_no_others(module: str) -> None:
    code, out, err = _run(module, "--help")
    assert (code, err) == (0, "")
    shown = set(re.findall(r"^  --(\w+)", out, re.MULTILINE))
    assert shown == PROGRAMS[module] | _COMMON
    assert re.search(r"^ *\./bazelw run //", out, re.MULTILINE), "no example"
    assert all(len(line) <= 110 for line in out.splitlines())


@pytest.mark.parametrize("module", ["python.export.gemma4_31b", "python.quant.main"])
def test_the_version_and_an_unknown_flag(module: str) -> None:
    name = "quant" if module == "python.quant.main" else "gemma4_31b"
    code, out, err = _run(module, "--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", out)
    sentence = f"{name}: unknown flag --recipes (did you mean --recipe? --help lists the flags)\n"
    assert _run(module, "--recipes=x") == (2, "", sentence)


def test_an_export_that_is_killed_leaves_what_the_next_one_names(tmp_path: Path) -> None:
    source, output = tmp_path / "tiny", tmp_path / "artifact"
    assert _run("python.export.testing.make_tiny_checkpoint", f"--output={source}")[0] == 0
    arguments = (
        *(f"--checkpoint={source}", f"--output={output}", "--recipe=none", "--max_seq_len=64"),
        "--progress=none",
    )
    command, environment = _command("python.export.gemma4_31b", *arguments)
    process = subprocess.Popen(command, env=environment)
    partial = tmp_path / "artifact.partial"
    for _ in range(2400):  # until weights are being written
        if (partial / "model.pte").exists():
            break
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not output.exists()
    assert partial.exists()
    code, _, err = _run("python.export.gemma4_31b", *arguments)
    assert code == 0
    named = [line for line in err.splitlines() if line.startswith(f"{partial}: an earlier run was")]
    assert len(named) == 1
    assert re.search(r"the [\d.]+ k?M?B that it left were removed", named[0])
    assert json.loads((output / "manifest.json").read_text())["files"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact", "tiny"]


def test_an_export_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    source, output = tmp_path / "tiny", tmp_path / "artifact"
    assert _run("python.export.testing.make_tiny_checkpoint", f"--output={source}")[0] == 0
    command, environment = _command(
        "python.export.gemma4_31b", f"--checkpoint={source}", f"--output={output}", "--quiet"
    )
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    for _ in range(2400):
        if (tmp_path / "artifact.partial").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "gemma4_31b: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
