"""Tests of the program: dry run, usage, and the memory that it may take."""

import hashlib
import json
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest

from python.checkpoint import ggml_types
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.testing import synthetic, tiny_gguf
from python.console.testing.warm_programs import WarmPrograms
from python.model.named_configs import gemma4_31b, tiny_gemma3, tiny_gemma4
from python.text.testing import tiny_tokenizer

_PROCESS_BYTES = 500_000_000


_PROGRAMS = WarmPrograms(["python.quant.dry_run", "python.quant.store.store"])


def _run(*arguments: str, limit: int | None = None) -> "subprocess.CompletedProcess[str]":
    limits = {} if limit is None else {resource.RLIMIT_DATA: limit}
    return _PROGRAMS.run("python.quant.main", *arguments, limits=limits)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hf") / "tiny"
    synthetic.write_checkpoint(folder, tiny_gemma4(num_layers=4))
    return folder


def test_a_dry_run_says_everything_and_writes_nothing(source: Path) -> None:
    before = sorted(path.name for path in source.parent.iterdir())
    done = _run(f"--checkpoint={source}", "--recipe=sensitive", "--dry_run")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    rows = {line.split()[0]: line for line in lines if line}
    assert "INT8" in rows["embed_tokens.weight"]
    assert "kept: never quantized" in rows["norm.weight"]
    assert "INT8" in rows["layers.0.mlp.down_proj.weight"]
    assert rows["layers.1.mlp.down_proj.weight"].split()[-4:-2] == ["INT4_MIN", "5"]
    assert "cache_of_1024_tokens_bytes" in rows
    disk, memory = lines[-2:]
    assert disk.startswith("disk at gemma4_sensitive ")
    assert memory.startswith("memory to quantize ")
    assert [line.split()[-2:] for line in (disk, memory)] == [["yes", "-"]] * 2
    assert sorted(path.name for path in source.parent.iterdir()) == before


def test_a_dry_run_for_programs(source: Path, tmp_path: Path) -> None:
    done = _run(
        f"--checkpoint={source}", "--recipe=sensitive", "--dry_run", "--format=json",
        f"--output={tmp_path / 'q'}",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["kind"], found["problem"]) == ("dry run of a quantization", None)
    assert found["weights"][0]["weight"] == "embed_tokens.weight"
    disk = found["does it fit"][0]
    assert (disk["what"], disk["fits"]) == (f"disk at {tmp_path / 'q'}", True)
    _run(f"--checkpoint={source}", "--recipe=sensitive", f"--output={tmp_path / 'q'}")
    written = sum(path.stat().st_size for path in (tmp_path / "q").glob("*.safetensors"))
    assert disk["needed_bytes"] == found["file_bytes"] == written


def test_the_default_recipe_says_what_it_costs_unless_quiet(source: Path, tmp_path: Path) -> None:
    arguments = [f"--checkpoint={source}", "--recipe=default", "--progress=none"]
    done = _run(*arguments, f"--output={tmp_path / 'a'}")
    assert done.stderr == (
        "recipe default rounds every weight without calibration: a QAT checkpoint, a GGUF made with"
        " an imatrix, or recipe calibrated loses less (docs/benchmarks/quality_270m.md)\n"
    )
    done = _run(*arguments, f"--output={tmp_path / 'b'}", "--quiet", "--progress=plain")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'b'}\n", "")


def test_the_qat_recipe_says_what_share_came_back(source: Path, tmp_path: Path) -> None:
    done = _run(f"--checkpoint={source}", "--recipe=qat", f"--output={tmp_path / 'q'}", "--quiet")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'q'}\n")
    counted = json.loads((tmp_path / "q" / "quantization.json").read_text())["lattice"]
    assert counted["exact"] == 0 < counted["groups"]
    done = _run(f"--checkpoint={source}", "--recipe=qat", f"--output={tmp_path / 'r'}")
    assert f"recipe qat reproduces only 0 % of {counted['groups']} groups" in done.stderr


def test_a_calibrated_run_and_its_dry_run(tmp_path: Path) -> None:
    config = tiny_gemma4(num_layers=1, hidden_size=64, intermediate_size=96, vocab_size=512)
    synthetic.write_checkpoint(tmp_path / "hf", config)
    tokenizer = json.dumps(tiny_tokenizer.tiny_json())
    (tmp_path / "hf" / "tokenizer.json").write_text(tokenizer)
    text = tmp_path / "text.txt"
    text.write_text("ab and a b. " * 200)
    arguments = [
        f"--checkpoint={tmp_path / 'hf'}", "--recipe=calibrated", f"--calibration_text={text}",
        "--calibration_tokens=512",
    ]  # fmt: skip
    done = _run(*arguments, "--dry_run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "memory to quantize " in done.stdout
    done = _run(*arguments, f"--output={tmp_path / 'q'}", "--progress=none")
    assert (done.returncode, done.stderr) == (0, "")
    described = json.loads((tmp_path / "q" / "quantization.json").read_text())
    assert described["recipe_name"] == "calibrated"
    assert described["calibration"] == {
        "sha256": hashlib.sha256(text.read_bytes()).hexdigest(), "sequences": 1, "tokens_each": 512
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ["--recipe=fp7"],
            2,
            "recipe 'fp7' is unknown (use default, sensitive, calibrated, qat, none or a JSON",
        ),
        (["--recipes=default"], 2, "unknown flag --recipes (did you mean --recipe?"),
        (["--resume", "--overwrite"], 2, "pass one of them"),
        (["--format=json"], 2, "--format json is for --dry_run"),
        (
            ["--calibration_tokens=9"],
            2,
            "--calibration_tokens '9' is not a number of tokens, 512 or",
        ),
        (["--recipe=calibrated"], 2, "inputs that a text gives; pass --calibration_text FILE"),
        (["--recipe=calibrated", "--dry_run"], 2, "pass --calibration_text FILE"),
        (["--calibration_text=a.txt"], 2, "recipe default has no method that uses a calibration"),
    ],
)
def test_wrong_usage(
    source: Path, tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    done = _run(f"--checkpoint={source}", f"--output={tmp_path / 'q'}", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def _q4_0(name: str, shape: tuple[int, ...]) -> tuple[GgmlType, np.ndarray]:
    """Matrices in Q4_0, whose numbers do not matter here."""
    if len(shape) == 1:
        return tiny_gguf.random_f32(name, shape)
    return ggml_types.Q4_0, np.zeros((shape[0], shape[1] // 32 * 18), dtype=np.uint8)


def test_no_output_and_a_quantized_gguf_file(source: Path, tmp_path: Path) -> None:
    done = _run(f"--checkpoint={source}")
    assert done.returncode == 2
    assert "--output must be given" in done.stderr
    path = tmp_path / "a.gguf"
    path.write_bytes(tiny_gguf.build(tiny_gemma3(num_layers=1), _q4_0))
    done = _run(f"--checkpoint={path}", f"--output={tmp_path / 'q'}")
    assert done.returncode == 1
    assert "embed_tokens.weight is quantized already (Q4_0)" in done.stderr


@pytest.fixture(scope="module")
def large_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the width of the 31B, so that its largest weight is small beside the whole."""
    folder = tmp_path_factory.mktemp("large") / "hf"
    config = synthetic.scaled(gemma4_31b(), layers=6, width_divisor=4, vocab_size=4096)
    synthetic.write_checkpoint(folder, config)
    return folder


@pytest.mark.parametrize("name", ["default", "none"])
def test_memory_does_not_depend_on_the_models_size(
    large_source: Path, tmp_path: Path, name: str
) -> None:
    """Three times the largest weight and 500 MB must do, for a model that is larger than that."""
    size = sum(path.stat().st_size for path in large_source.glob("*.safetensors"))
    with open_checkpoint(large_source) as checkpoint:
        largest = max(checkpoint.describe(weight).bytes for weight in checkpoint.names())
    limit = 3 * largest + _PROCESS_BYTES
    print(f"model {size / 1e6:.0f} MB, largest weight {largest / 1e6:.1f}, limit {limit / 1e6:.0f}")
    assert size > limit
    done = _run(
        f"--checkpoint={large_source}",
        f"--output={tmp_path / 'q'}",
        f"--recipe={name}",
        limit=limit,
    )
    assert done.returncode == 0, done.stderr
