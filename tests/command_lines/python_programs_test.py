"""Every Python program as a user starts it: --help, --version, flags, an export that is killed.

A flag that is not in this file's lists, or no longer in --help, fails the test: the names are
contracts, which scripts depend on.
"""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from python.console.testing.warm_programs import WarmPrograms

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


_IMPORTS = [
    "python.checkpoint.open_checkpoint",
    "python.export.export",
    "python.inference.generate",
    "python.quant.store.store",
]
_ENVIRONMENT = {"COLUMNS": "100"}


@pytest.fixture(scope="module")
def programs() -> WarmPrograms:
    return WarmPrograms(_IMPORTS)


def _run(programs: WarmPrograms, module: str, *arguments: str) -> tuple[int, str, str]:
    done = programs.run(module, *arguments, environment=_ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


def _export_until(
    programs: WarmPrograms, source: Path, output: Path, present: str, kill: signal.Signals
) -> tuple[int | None, str]:
    """Exports, sends a signal when the file `present` is there; returns the exit code and standard error."""
    err = output.parent.parent / "err"
    process = programs.start(
        "python.export.gemma4_31b",
        *(f"--checkpoint={source}", f"--output={output}", "--recipe=none", "--max_seq_len=64"),
        "--quiet",
        environment=_ENVIRONMENT,
        out=Path(os.devnull),
        err=err,
    )
    for _ in range(2400):
        if (output.parent / present).exists():
            break
        time.sleep(0.05)
        assert process.exitcode is None
    assert process.pid is not None
    os.kill(process.pid, kill)
    process.join(60)
    return process.exitcode, err.read_text()


@pytest.mark.parametrize("module", PROGRAMS)
def test_help_lists_the_flags_of_the_program_and_no_others(
    programs: WarmPrograms, module: str
) -> None:
    code, out, err = _run(programs, module, "--help")
    assert (code, err) == (0, "")
    shown = set(re.findall(r"^  --(\w+)", out, re.MULTILINE))
    assert shown == PROGRAMS[module] | _COMMON
    assert re.search(r"^ *\./bazelw run //", out, re.MULTILINE), "no example"
    assert all(len(line) <= 110 for line in out.splitlines())


@pytest.mark.parametrize("module", ["python.export.gemma4_31b", "python.quant.main"])
def test_the_version_and_an_unknown_flag(programs: WarmPrograms, module: str) -> None:
    name = "quant" if module == "python.quant.main" else "gemma4_31b"
    code, out, err = _run(programs, module, "--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", out)
    sentence = f"{name}: unknown flag --recipes (did you mean --recipe? --help lists the flags)\n"
    assert _run(programs, module, "--recipes=x") == (2, "", sentence)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def source(programs: WarmPrograms, folder: Path) -> Path:
    made = folder / "tiny"
    assert _run(programs, "python.export.testing.make_tiny_checkpoint", f"--output={made}")[0] == 0
    return made


def test_an_export_that_is_killed_leaves_what_the_next_one_names(
    programs: WarmPrograms, source: Path, folder: Path
) -> None:
    output, partial = folder / "artifact", folder / "artifact.partial"
    weights = "artifact.partial/model.pte"  # there when weights are being written
    code, _ = _export_until(programs, source, output, weights, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not output.exists()
    assert partial.exists()
    arguments = (f"--checkpoint={source}", f"--output={output}", "--recipe=none")
    code, _, err = _run(
        programs, "python.export.gemma4_31b", *arguments, "--max_seq_len=64", "--progress=none"
    )
    assert code == 0
    named = [line for line in err.splitlines() if line.startswith(f"{partial}: an earlier run was")]
    assert len(named) == 1
    assert re.search(r"the [\d.]+ k?M?B that it left were removed", named[0])
    assert json.loads((output / "manifest.json").read_text())["files"]
    assert sorted(path.name for path in folder.iterdir()) == ["artifact", "tiny"]


def test_an_export_that_is_interrupted_leaves_nothing(
    programs: WarmPrograms, source: Path, folder: Path
) -> None:
    output = folder / "artifact"
    done = _export_until(programs, source, output, "artifact.partial", signal.SIGINT)
    assert done == (130, "gemma4_31b: interrupted\n")
    assert [path.name for path in folder.iterdir()] == ["tiny"]
