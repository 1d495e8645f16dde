"""Tests of the canonical store: what torchao reads, interruptions, refusals, equal bytes."""

import hashlib
import json
import os
import random
import resource
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import DenseTensor, TorchaoTensor
from python.checkpoint.testing import synthetic
from python.console.errors import UserError
from python.console.testing.warm_programs import WarmPrograms
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.pack import pack
from python.quant import quantize, recipe
from python.quant.dequantize import dequantize
from python.quant.recipe import QuantRecipe
from python.quant.store import store
from python.quant.store.store import Settings
from python.quant.store.testing.transformers_model import values_of

# Narrow, for the sake of time: HQQ takes 20 steps for every weight.
_CONFIG = tiny_gemma4(
    num_layers=4, hidden_size=64, intermediate_size=96, head_dim=32, full_head_dim=64
)
_QUIET = Settings(progress="none", shard_bytes=40_000)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "hf"
    synthetic.write_checkpoint(folder, _CONFIG, shard_bytes=90_000, prefix="model.language_model.")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def _quantize(
    source: Path, output: Path, name: str = "default", settings: Settings = _QUIET
) -> None:
    with open_checkpoint(source) as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        rules = recipe.recipe(name, checkpoint.config.num_layers)
        store.quantize_checkpoint(checkpoint, rules, output, settings)


def _bytes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


# Recipes that need a text: calibrated_store_test.py.
@pytest.mark.parametrize("name", [name for name in recipe.NAMED if name != "calibrated"])
def test_the_store_holds_what_the_recipe_makes(source: Path, tmp_path: Path, name: str) -> None:
    _quantize(source, tmp_path / "q", name)
    rules = recipe.recipe(name, _CONFIG.num_layers)
    with open_checkpoint(source) as original, open_checkpoint(tmp_path / "q") as stored:
        assert stored.names() == original.names()
        assert stored.generation == original.generation
        assert stored.tokenizer is not None
        for weight in original.names():
            expected = quantize.prepare(weight, original.read(weight), rules)
            tensor = stored.read(weight)
            assert isinstance(
                tensor, DenseTensor if rules.config_for(weight) is None else TorchaoTensor
            )
            if isinstance(tensor, TorchaoTensor):
                zero_point = stored.read_part(weight, "zero_point")
                assert zero_point is not None
                assert torch.equal(zero_point, tensor.parts["zero_point"])
                assert stored.read_part(weight, "act_pre_scale") is None
            packed, read = pack.pack(weight, expected), pack.pack(weight, tensor)
            assert (packed.shape, packed.loss) == (read.shape, 0.0)
            assert packed.data.tobytes() == read.data.tobytes()


@pytest.mark.parametrize("name", ["default", "sensitive"])
def test_torchao_loads_it(source: Path, tmp_path: Path, name: str) -> None:
    _quantize(source, tmp_path / "q", name)
    seen = set()
    for path in sorted((tmp_path / "q").glob("*.safetensors")):
        tensors = safetensors.torch.load_file(path)
        with safetensors.safe_open(path, "pt") as file:
            metadata = dict(file.metadata())
        metadata.pop("format")
        loaded, left = unflatten_tensor_state_dict(tensors, metadata)
        assert not left
        seen |= {type(tensor).__name__ for tensor in loaded.values()}
        for stored_name, tensor in loaded.items():
            weight = stored_name.removeprefix("model.")
            with open_checkpoint(tmp_path / "q") as checkpoint:
                ours = dequantize(weight, checkpoint.read(weight))
            assert torch.equal(values_of(tensor, slice(None)), ours.float())
            if type(tensor).__name__ == "IntxUnpackedToInt8Tensor":
                assert tensor.dtype == torch.bfloat16  # that of the checkpoint
                assert torch.equal(tensor.dequantize(), ours.to(torch.bfloat16))
    assert seen == {"Int4Tensor", "IntxUnpackedToInt8Tensor", "Tensor"}


def _train_for_4_bits(folder: Path) -> None:
    """Puts every matrix of the layers on a lattice of its groups' own, by absmax / 7."""
    for path in folder.glob("*.safetensors"):
        tensors = safetensors.torch.load_file(path)
        for name, weight in tensors.items():
            if "_proj" in name:
                groups = weight.float().reshape(-1, 32)
                scale = (groups.abs().amax(dim=-1, keepdim=True) / 7).bfloat16().float()
                values = (groups / scale).round() * scale
                tensors[name] = values.reshape(weight.shape).to(weight.dtype)
        safetensors.torch.save_file(tensors, path)


def test_what_was_trained_for_4_bits_comes_back_and_is_counted(tmp_path: Path) -> None:
    synthetic.write_checkpoint(tmp_path / "hf", _CONFIG)
    with open_checkpoint(tmp_path / "hf") as checkpoint:
        infos = [checkpoint.describe(name) for name in checkpoint.names()]
        groups = sum(info.elements // 32 for info in infos if "_proj" in info.name)
    for kind in ("plain", "trained"):
        if kind == "trained":
            _train_for_4_bits(tmp_path / "hf")
        _quantize(tmp_path / "hf", tmp_path / kind, "qat")
        counted = json.loads((tmp_path / kind / "quantization.json").read_text())["lattice"]
        assert counted == {"groups": groups, "exact": groups if kind == "trained" else 0}
    with (
        open_checkpoint(tmp_path / "hf") as original,
        open_checkpoint(tmp_path / "trained") as ours,
    ):
        for name in original.names():
            if "_proj" in name:
                weight, found = (dequantize(name, store.read(name)) for store in (original, ours))
                assert torch.equal(found.to(weight.dtype), weight)


def test_two_runs_give_the_same_bytes(source: Path, tmp_path: Path) -> None:
    _quantize(source, tmp_path / "a")
    _quantize(source, tmp_path / "b")
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    names = set(_bytes(tmp_path / "a"))
    assert "journal.json" not in names
    assert {"config.json", "quantization.json", "tokenizer.json", "generation_config.json"} <= names
    described = json.loads((tmp_path / "a" / "quantization.json").read_text())
    assert described["recipe_name"] == "default"


def test_norms_of_gemma_3_are_added_once(tmp_path: Path) -> None:
    synthetic.write_checkpoint(tmp_path / "hf", tiny_gemma3(num_layers=1))
    _quantize(tmp_path / "hf", tmp_path / "q")
    with open_checkpoint(tmp_path / "hf") as original, open_checkpoint(tmp_path / "q") as stored:
        a, b = original.read("norm.weight"), stored.read("norm.weight")
        assert isinstance(a, DenseTensor) and isinstance(b, DenseTensor)
        assert torch.equal(a.values, b.values)


_PROGRAMS = WarmPrograms(["python.quant.dry_run", "python.quant.store.store"])


def _run(
    source: Path, output: Path, *arguments: str, limits: Mapping[int, int] | None = None
) -> tuple[int, str]:
    done = _PROGRAMS.run(
        "python.quant.main", *_arguments(source, output, *arguments), limits=limits
    )
    return done.returncode, done.stderr


def _start(source: Path, output: Path, *arguments: str) -> BaseProcess:
    """Starts a run that takes its time; what it says is in the file `err` beside its output."""
    return _PROGRAMS.start(
        "python.quant.store.testing.slow_quant",
        *_arguments(source, output, *arguments),
        out=Path(os.devnull),
        err=output.with_name("err"),
    )


def _arguments(source: Path, output: Path, *arguments: str) -> tuple[str, ...]:
    return (f"--checkpoint={source}", f"--output={output}", "--shard_bytes=1048576", *arguments)


def _end(process: BaseProcess, by: signal.Signals | None = None) -> int:
    """Waits until a process ends, after a signal if one is given; returns its exit code."""
    if by is not None and process.pid is not None:
        os.kill(process.pid, by)
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def _wait_until_written(process: BaseProcess, path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.exitcode is None
        assert time.monotonic() < deadline, f"no {path} after 120 s"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def slow_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough that a run can be stopped in its middle."""
    folder = tmp_path_factory.mktemp("slow") / "hf"
    synthetic.write_checkpoint(folder, tiny_gemma4(num_layers=8, intermediate_size=1024))
    return folder


def test_killed_at_any_moment_it_resumes_to_the_same_bytes(
    slow_source: Path, tmp_path: Path
) -> None:
    assert _run(slow_source, tmp_path / "whole", "--recipe=sensitive")[0] == 0
    expected = _bytes(tmp_path / "whole")
    chance = random.Random(1)
    output = tmp_path / "killed"
    kills = 0
    for attempt in range(12):
        process = _start(slow_source, output, "--recipe=sensitive", "--resume")
        partial = output.with_name("killed.partial")
        deadline = time.monotonic() + 60
        while not list(partial.glob("*.safetensors")) and process.exitcode is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.uniform(0.05, 0.5))
        by = None
        if process.exitcode is None and attempt < 11:
            by = signal.SIGKILL if attempt % 3 else signal.SIGTERM
            kills += 1
        code = _end(process, by)
        if code == 0:
            break
        # -SIGTERM: so early that the program had not yet said what to do then.
        said = (tmp_path / "err").read_text()
        assert code in (-signal.SIGKILL, -signal.SIGTERM, 130), said
        assert not output.exists()
    assert kills >= 1
    assert output.exists()
    assert _bytes(output) == expected


def test_interrupted_it_says_how_to_go_on(slow_source: Path, tmp_path: Path) -> None:
    output = tmp_path / "q"
    process = _start(slow_source, output, "--recipe=sensitive", "--progress=none")
    _wait_until_written(process, output.with_name("q.partial") / "journal.json")
    assert _end(process, signal.SIGINT) == 130
    assert (
        tmp_path / "err"
    ).read_text() == "quant: interrupted; the same command with --resume goes on\n"
    code, err = _run(slow_source, output, "--recipe=sensitive", "--progress=none")
    assert code == 1
    assert "holds an unfinished run" in err and "--resume" in err
    code, err = _run(slow_source, output, "--recipe=default", "--progress=none", "--resume")
    assert code == 1
    assert "the recipe is not what it was when the run began" in err
    weights = slow_source / "model-00001-of-00001.safetensors"
    os.utime(weights, ns=(1, 1))
    code, err = _run(slow_source, output, "--recipe=sensitive", "--progress=none", "--resume")
    assert code == 1
    assert f"{weights} is not what it was" in err
    assert _run(slow_source, output, "--recipe=sensitive", "--overwrite", "--progress=none")[0] == 0


def test_a_full_disk_is_a_sentence_and_the_run_resumes(slow_source: Path, tmp_path: Path) -> None:
    """No file may pass 1.5 MB, as on a disk that fills up between two weights."""
    output = tmp_path / "q"
    arguments = ["--recipe=default", "--quiet", "--shard_bytes=8388608"]
    code, err = _run(slow_source, output, *arguments, limits={resource.RLIMIT_FSIZE: 1_500_000})
    assert code == 1
    assert err.count("\n") == 1 and "File too large" in err
    assert not output.exists()
    code, err = _run(slow_source, output, *arguments, "--resume")
    assert code == 0, err
    code, err = _run(slow_source, tmp_path / "same", *arguments)
    assert code == 0, err
    assert _bytes(output) == _bytes(tmp_path / "same")


def test_a_folder_that_cannot_be_written_is_a_sentence(slow_source: Path) -> None:
    output = Path("/proc/quantized")  # where not even root may make a folder
    code, err = _run(slow_source, output, "--recipe=default", "--quiet")
    assert code == 1
    assert err.count("\n") == 1 and "/proc/quantized" in err


def test_a_damaged_partial_file_is_refused(slow_source: Path, tmp_path: Path) -> None:
    output = tmp_path / "q"
    process = _start(slow_source, output, "--recipe=sensitive", "--progress=none")
    partial = output.with_name("q.partial")
    _wait_until_written(process, partial / "journal.json")
    _end(process, signal.SIGKILL)
    journal = json.loads((partial / "journal.json").read_text())
    shard = sorted(partial.glob("*.safetensors"))[journal["shard"]]
    os.truncate(shard, journal["bytes"] - 1)
    code, err = _run(slow_source, output, "--recipe=sensitive", "--progress=none", "--resume")
    assert code == 1
    assert "the journal says" in err and "--overwrite" in err


def test_outputs_that_are_refused(source: Path, tmp_path: Path) -> None:
    _quantize(source, tmp_path / "q")
    with pytest.raises(UserError, match=r"q exists; pass --overwrite"):
        _quantize(source, tmp_path / "q")
    _quantize(source, tmp_path / "q", settings=replace(_QUIET, overwrite=True))
    with pytest.raises(UserError, match="output and checkpoint are the same folder"):
        _quantize(source, source, settings=replace(_QUIET, overwrite=True))
    with pytest.raises(UserError, match=r"embed_tokens.weight is quantized already"):
        _quantize(tmp_path / "q", tmp_path / "twice")
    assert not (tmp_path / "twice").exists()
    assert not (tmp_path / "twice.partial").exists()


def test_a_weight_that_cannot_be_quantized_stops_the_run(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    synthetic.write_checkpoint(folder, tiny_gemma4(num_layers=1))
    path = folder / "model-00001-of-00001.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["model.layers.0.mlp.up_proj.weight"][3, 5] = torch.inf
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(
        UserError, match=r"up_proj.weight: the weight at row 3, column 5 is not finite"
    ):
        _quantize(folder, tmp_path / "q")
    assert not (tmp_path / "q").exists()


def test_every_weight_must_match_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    rules = QuantRecipe(name="mine", rules=(recipe.QuantRule(pattern="embed.*", config=None),))
    with open_checkpoint(source) as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        with pytest.raises(UserError, match=r"recipe mine: no rule matches layers.0"):
            store.quantize_checkpoint(checkpoint, rules, tmp_path / "q", _QUIET)
    assert not list(tmp_path.iterdir())
