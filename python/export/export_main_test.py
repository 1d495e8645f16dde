"""The command line: what it prints, what it refuses, what it chooses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from absl import flags
from absl.testing import flagsaver

from python.checkpoint import ggml_types
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import BlockTensor, DenseTensor
from python.checkpoint.testing import synthetic
from python.checkpoint.testing.fake_checkpoint import FakeCheckpoint
from python.console.errors import UsageError, UserError
from python.export import export_main
from python.model.named_configs import tiny_gemma4
from python.model.weight_names import expected_weights

MODEL = "gemma4_31b"
CONFIG = tiny_gemma4(num_layers=1)

export_main.define_flags(MODEL, kv_cache_dtype="float16")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program") / "checkpoint"
    synthetic.write_checkpoint(folder, CONFIG, dtype=torch.bfloat16)
    return folder


def _run(*arguments: str) -> None:
    with flagsaver.flagsaver():
        flags.FLAGS(["export", "--progress=none", *arguments])
        export_main.export_as_flags_say(MODEL)


def test_dry_run_lists_every_weight_and_writes_nothing(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(checkpoint.parent))
    _run(f"--checkpoint={checkpoint}", "--max_seq_len=64", "--dry_run")
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines() if line]
    assert set(expected_weights(CONFIG)) <= {line[0] for line in lines}
    embedding = next(line for line in lines if line[0] == "embed_tokens.weight")
    assert embedding[1:6] == [*("256", "x", "256", "BF16", "INT8")]
    # One full layer: 2 x 1 head x 64 positions x 128 numbers of two bytes.
    assert ["session_bytes", "32.8", "kB"] in lines
    assert ["recipe", "default"] in lines
    fit = lines[lines.index(["does", "it", "fit"]) + 2 :]
    assert [line[:2] for line in fit[:3]] == [["disk", "at"], ["memory", "to"], ["memory", "to"]]
    assert {line[-2] for line in fit} == {"yes"}
    assert str(checkpoint.parent / "gemma4") in fit[0]
    assert f"{checkpoint} is gemma4, not gemma4_31b; it is exported as it is" in err
    assert "recipe default rounds every weight without calibration" in err
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["checkpoint"]


def test_dry_run_for_programs_and_quiet(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--max_seq_len=1k", "--dry_run", "--format=json", "--quiet", "--progress=plain")
    with pytest.raises(UsageError, match="max_seq_len 1024 is outside 1 to 512, the positions"):
        _run(f"--checkpoint={checkpoint}", *arguments)
    _run(f"--checkpoint={checkpoint}", *arguments, "--max_seq_len=64")
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert (found["problem"], found["max_seq_len"], found["session_bytes"]) == (None, 64, 32768)
    assert sum(row["bytes"] for row in found["weights"]) == found["weight_bytes"]
    disk = found["does it fit"][0]
    assert disk["fits"] is True
    assert found["file_bytes"] < disk["needed_bytes"] < disk["available_bytes"]


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("free_disk", r"disk at /x: .*MB are needed, 1\.00 MB are available \(make room, or name"),
        (
            "available_memory",
            r"memory to export: .*MB are needed, 1\.00 MB are available \(end oth",
        ),
    ],
)
def test_dry_run_fails_where_the_export_would(
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    sentence: str,
) -> None:
    monkeypatch.setattr(f"python.console.machine.{function}", lambda *_: 1_000_000)
    arguments = (f"--checkpoint={checkpoint}", "--max_seq_len=64", "--dry_run", "--format=json")
    with pytest.raises(UserError, match=sentence) as error:
        _run(*arguments, "--output=/x")
    assert json.loads(capsys.readouterr().out)["problem"] == str(error.value)


def test_exports(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("python.export.lower.lower", lambda plans, constants: b"program")
    output = tmp_path / "artifact"
    arguments = [f"--checkpoint={checkpoint}", f"--output={output}", "--max_seq_len=64"]
    timings = tmp_path / "timings.json"
    _run(*arguments, "--recipe=none", f"--timings={timings}")
    assert capsys.readouterr().out.startswith(f"{output}: exported in 0:")
    assert (output / "manifest.json").is_file()
    stages = json.loads(timings.read_text())
    assert [stage["stage"] for stage in stages] == ["trace", "lower", "weights", "everything else"]
    assert all(stage["seconds"] >= 0 for stage in stages)
    with pytest.raises(UserError, match="exists; pass --overwrite"):
        _run(*arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--max_seq_len=64"], "--output must be given"),
        (["--output=x", "--recipe=best"], "recipe 'best' is unknown"),
        (["--output=x", "--format=json"], "--format json is for --dry_run"),
        (["--output=x", "--max_seq_len=513"], "max_seq_len 513 is outside 1 to 512"),
        (
            ["--output=x", "--max_seq_len=16", "--max_prefill_chunk=17"],
            "--max_prefill_chunk 17 is more than --max_seq_len 16",
        ),
    ],
)
def test_mistakes_in_usage(checkpoint: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        _run(f"--checkpoint={checkpoint}", *arguments)


def test_timings_that_cannot_be_written_are_refused_before_the_work(
    checkpoint: Path, tmp_path: Path
) -> None:
    arguments = (f"--checkpoint={checkpoint}", f"--output={tmp_path / 'a'}", "--max_seq_len=64")
    with pytest.raises(UserError, match=r"x/t\.json: there is no folder .*/x \(make it"):
        _run(*arguments, f"--timings={tmp_path / 'x' / 't.json'}")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_checkpoint() -> None:
    with pytest.raises(UserError, match="does not exist"):
        _run("--checkpoint=/nowhere", "--output=x")


def test_the_recipe_that_suits_the_checkpoint(checkpoint: Path) -> None:
    with open_checkpoint(checkpoint) as plain:
        assert export_main.chosen_recipe(plain, CONFIG, None).name == "default"
        assert export_main.chosen_recipe(plain, CONFIG, "none").name == "none"
    tensors: dict[str, DenseTensor | BlockTensor] = {
        name: DenseTensor(values=torch.ones(shape))
        for name, shape in expected_weights(CONFIG).items()
    }
    width = 256 // ggml_types.Q8_0.columns * ggml_types.Q8_0.bytes
    blocks = np.zeros((CONFIG.vocab_size, width), np.uint8)
    tensors["embed_tokens.weight"] = BlockTensor(type=ggml_types.Q8_0, columns=256, blocks=blocks)
    quantized = FakeCheckpoint(CONFIG, tensors)
    assert export_main.chosen_recipe(quantized, CONFIG, None).name == "none"
