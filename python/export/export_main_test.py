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

export_main.define_flags(MODEL, kv_cache_dtype="bfloat16")


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
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(f"--checkpoint={checkpoint}", "--max_seq_len=64", "--dry_run")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["weight", "shape", "stored", "layout", "bits", "size"]
    names = {line.split()[0] for line in lines[1:]}
    assert set(expected_weights(CONFIG)) <= names
    embedding = next(line for line in lines if line.startswith("embed_tokens"))
    assert embedding.split()[1:] == [
        *("256", "x", "256", "BF16", "INT8", "group", "256", "8.125", "66.6", "kB")
    ]
    # One full layer: 2 x 1 head x 64 positions x 128 numbers of two bytes.
    assert "session   32.8 kB for 64 positions" in lines
    assert "model     gemma4, recipe default" in lines
    assert f"{checkpoint} is gemma4, not gemma4_31b; it is exported as it is" in err
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["checkpoint"]


def test_exports(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("python.export.lower.lower", lambda plans: b"program")
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
        (
            ["--output=x", "--max_seq_len=16", "--max_prefill_chunk=17"],
            "--max_prefill_chunk 17 is more than --max_seq_len 16",
        ),
    ],
)
def test_mistakes_in_usage(checkpoint: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        _run(f"--checkpoint={checkpoint}", *arguments)


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
