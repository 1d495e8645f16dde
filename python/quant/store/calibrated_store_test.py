"""Tests of calibrated recipes: what the store holds, interruptions, equal bytes, refusals."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.quantized import QuantizedTensor
from python.checkpoint.tensor import TorchaoTensor
from python.checkpoint.testing import synthetic
from python.console.errors import UserError
from python.inference.load_model import load_model
from python.model.named_configs import tiny_gemma4
from python.quant import dry_run, recipe
from python.quant.calibration import calibration
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.dequantize import dequantize
from python.quant.recipe import QuantConfig, QuantRecipe, QuantRule
from python.quant.store import store, store_layout, weight_parts
from python.quant.store.store import Settings

_SIZES = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 32, "full_head_dim": 64}
_CONFIG = tiny_gemma4(num_layers=2, **_SIZES)
_QUIET = Settings(progress="none", shard_bytes=40_000)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "hf"
    synthetic.write_checkpoint(folder, _CONFIG, dtype=torch.float32)
    return folder


def _text(seed: int = 1, sequences: int = 8) -> CalibrationText:
    generator = torch.Generator().manual_seed(seed)
    # Few different tokens: hidden states then lie in few directions, as those of real text do.
    tokens = torch.randint(40, (sequences, 48), generator=generator)
    return CalibrationText(tokens=tokens, sha256=f"{seed:064x}")


def _recipe(method: str, symmetric: bool = True, bits: int = 4) -> QuantRecipe:
    config = QuantConfig(bits=bits, group=32, symmetric=symmetric, method=method)
    embedding = QuantConfig(bits=8, group=None, symmetric=True, method="min_max")
    return QuantRecipe(
        name="test",
        rules=(
            QuantRule(pattern=r"embed_tokens\.weight", config=embedding),
            QuantRule(pattern=".*", config=config),
        ),
    )


def _quantize(
    source: Path,
    output: Path,
    rules: QuantRecipe,
    text: CalibrationText | None = None,
    settings: Settings = _QUIET,
) -> None:
    with open_checkpoint(source) as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        store.quantize_checkpoint(checkpoint, rules, output, settings, text)


def _bytes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.mark.parametrize(
    ("method", "symmetric", "bits"),
    [("gptq", True, 4), ("gptq", False, 4), ("gptq", True, 8), ("least_squares", True, 4),
     ("least_squares", False, 4)],
)  # fmt: skip
def test_the_store_is_read_back(
    source: Path, tmp_path: Path, method: str, symmetric: bool, bits: int
) -> None:
    _quantize(source, tmp_path / "q", _recipe(method, symmetric, bits), _text())
    with open_checkpoint(source) as original, open_checkpoint(tmp_path / "q") as stored:
        for name in original.names():
            if not recipe.is_quantizable(name):
                continue
            tensor = stored.read(name)
            assert isinstance(tensor, TorchaoTensor)
            w, v = dequantize(name, original.read(name)), dequantize(name, tensor)
            assert torch.isfinite(v).all() and v.shape == w.shape
            assert float((w * v).sum() / w.norm() / v.norm()) > 0.7  # they point the same way
    described = json.loads((tmp_path / "q" / "quantization.json").read_text())
    assert described["calibration"] == {
        "sha256": _text().sha256, "sequences": 8, "tokens_each": 48
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "most"), [("gptq", 0.6), ("least_squares", 0.98)]
)  # fmt: skip
def test_outputs_are_nearer_than_those_of_min_max(tmp_path: Path, method: str, most: float) -> None:
    """On sequences that calibration did not see."""
    source = tmp_path / "hf"
    synthetic.write_checkpoint(source, tiny_gemma4(num_layers=1, **_SIZES), dtype=torch.float32)
    text, held_out = _text(1, sequences=64), _text(9)

    def outputs(folder: Path) -> torch.Tensor:
        with open_checkpoint(folder) as checkpoint:
            model = load_model(
                checkpoint, max_context=48, max_chunk=48, dtype=torch.float32,
                device=torch.device("cpu"),
            )  # fmt: skip
        zero = torch.tensor([0])
        return torch.cat([model.hidden(row[None], zero) for row in held_out.tokens])

    _quantize(source, tmp_path / "plain", _recipe("min_max"))
    _quantize(source, tmp_path / "q", _recipe(method), text)
    reference = outputs(source)
    plain, found = (
        float((outputs(tmp_path / name) - reference).square().mean()) for name in ("plain", "q")
    )
    print(f"{method}: {found / plain:.3f} of min-max's square error, at most {most}")
    assert found < most * plain


def test_a_mixed_recipe_calibrates_what_it_says_and_keeps_the_rest(
    source: Path, tmp_path: Path
) -> None:
    plain = QuantConfig(bits=8, group=32, symmetric=True, method="min_max")
    gptq = QuantConfig(bits=4, group=32, symmetric=True, method="gptq")
    rules = QuantRecipe(
        name="mixed",
        rules=(
            QuantRule(pattern=r".*down_proj\.weight", config=gptq, layers=frozenset({1})),
            QuantRule(pattern=r".*up_proj\.weight", config=plain),
            QuantRule(pattern=".*", config=None),
        ),
    )
    _quantize(source, tmp_path / "q", rules, _text())
    with open_checkpoint(source) as original, open_checkpoint(tmp_path / "q") as stored:
        kept = "layers.1.mlp.gate_proj.weight"
        assert torch.equal(
            dequantize(kept, original.read(kept)), dequantize(kept, stored.read(kept))
        )
        assert stored.describe("layers.1.mlp.down_proj.weight").encoding == "Int4Tensor"
        assert "Intx" in stored.describe("layers.1.mlp.up_proj.weight").encoding


def test_two_runs_give_the_same_bytes_and_another_text_others(source: Path, tmp_path: Path) -> None:
    rules = _recipe("gptq")
    _quantize(source, tmp_path / "a", rules, _text())
    _quantize(source, tmp_path / "b", rules, _text())
    _quantize(source, tmp_path / "c", rules, _text(2))
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    a, c = _bytes(tmp_path / "a"), _bytes(tmp_path / "c")
    assert all(a[name] != c[name] for name in a if name.startswith("model-0"))


class _StoppedError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 4, 12, 24])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    rules = _recipe("gptq")
    _quantize(source, tmp_path / "whole", rules, _text())
    parts_of = weight_parts.WeightParts.parts_of
    taken = []

    def stop_after(self: weight_parts.WeightParts, weight: store_layout.StoredWeight) -> object:
        taken.append(weight.name)
        if len(taken) == after:
            raise _StoppedError
        return parts_of(self, weight)

    monkeypatch.setattr(store, "_BYTES_BETWEEN_SYNCS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(weight_parts.WeightParts, "parts_of", stop_after)
        with pytest.raises(_StoppedError):
            _quantize(source, tmp_path / "q", rules, _text())
    followed = []
    follow = calibration.Calibration.follow

    def count(
        self: calibration.Calibration, name: str, weight: torch.Tensor, quantized: QuantizedTensor
    ) -> None:
        followed.append(name)
        follow(self, name, weight, quantized)

    monkeypatch.setattr(calibration.Calibration, "follow", count)
    _quantize(source, tmp_path / "q", rules, _text(), replace(_QUIET, resume=True))
    assert _bytes(tmp_path / "q") == _bytes(tmp_path / "whole")
    replayed = [name for name in taken[: after - 1] if "_proj" in name]
    assert [name for name in followed if "_proj" in name] == replayed


@pytest.mark.parametrize(
    ("text", "threads", "sentence"),
    [
        (_text(2), 1, "the calibration text is not what it was when the run began"),
        (_text(1), 2, "the number of threads is not what it was when the run began"),
    ],
)
def test_what_would_change_the_bytes_is_refused(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: CalibrationText,
    threads: int,
    sentence: str,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise _StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(calibration, "quantize_gptq", stop)
        patch.setattr(store, "_BYTES_BETWEEN_SYNCS", 1)
        with pytest.raises(_StoppedError):
            _quantize(source, tmp_path / "q", _recipe("gptq"), _text())
    torch.set_num_threads(threads)
    try:
        with pytest.raises(UserError, match=sentence):
            _quantize(source, tmp_path / "q", _recipe("gptq"), text, replace(_QUIET, resume=True))
    finally:
        torch.set_num_threads(1)


def test_texts_that_lack_or_are_not_used(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"recipe test quantizes by the inputs .*--calibration_text"
    ):
        _quantize(source, tmp_path / "q", _recipe("gptq"))
    with pytest.raises(UserError, match="recipe default has no method that uses a calibration"):
        _quantize(source, tmp_path / "q", recipe.recipe("default", 2), _text())
    config = QuantConfig(bits=4, group=32, symmetric=True, method="gptq")
    rules = QuantRecipe(name="x", rules=(QuantRule(pattern=".*", config=config),))
    with pytest.raises(UserError, match=r"embed_tokens.weight: method 'gptq' serves the layers"):
        _quantize(source, tmp_path / "q", rules, _text())
    foreign = CalibrationText(tokens=torch.full((1, 8), _CONFIG.vocab_size), sha256="0")
    with pytest.raises(UserError, match="use the checkpoint's own tokenizer"):
        _quantize(source, tmp_path / "q", _recipe("gptq"), foreign)


def test_a_dry_run_counts_what_calibration_holds(source: Path) -> None:
    with open_checkpoint(source) as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        weights = store_layout.lay_out_weights(checkpoint, _recipe("gptq"))
    without = dry_run.peak_bytes(weights, _CONFIG)
    small, large = (
        CalibrationText(tokens=torch.zeros((count, 512), dtype=torch.int64), sha256="0")
        for count in (1, 32)
    )
    assert without < dry_run.peak_bytes(weights, _CONFIG, small)
    more = dry_run.peak_bytes(weights, _CONFIG, large) - dry_run.peak_bytes(weights, _CONFIG, small)
    assert more == 31 * calibration.stream_bytes(_CONFIG, 512)
