"""The evaluation in small: on a tiny model, with llama.cpp's quantizer beside ours."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from python.checkpoint import gguf_blocks
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import BlockTensor
from python.checkpoint.testing import tiny_gguf
from python.evaluate import divergence, reference_model, table
from python.evaluate.evaluation import Evaluation
from python.evaluate.rows import ROWS
from python.inference.load_model import load_model
from python.model.named_configs import tiny_gemma3
from python.model.transformer import GemmaModel
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.dequantize import dequantize

_CONFIG = tiny_gemma3(num_layers=2, hidden_size=64, intermediate_size=96, head_dim=32)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def _tokens(seed: int, sequences: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(40, (sequences, 32), generator=generator)


def _model(path: Path) -> GemmaModel:
    with open_checkpoint(path) as checkpoint:
        return load_model(
            checkpoint, max_context=32, max_chunk=32, dtype=torch.float32,
            device=torch.device("cpu"),
        )  # fmt: skip


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    path.write_bytes(tiny_gguf.build(_CONFIG))
    return path


@pytest.fixture(scope="module")
def evaluation(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return Evaluation(
        gguf,
        tmp_path_factory.mktemp("work"),
        {"text": _tokens(1, 4)},
        CalibrationText(tokens=_tokens(2, 32), sha256="0"),
        dither_seed=None,
    )


def test_more_bits_and_better_methods_are_nearer(evaluation: Evaluation) -> None:
    names = ("q4_0", "min_max", "gptq", "min_max_8")
    results = {name: evaluation.measure(ROWS[name]) for name in names}
    kl = {name: result.divergences["text"].mean_kl for name, result in results.items()}
    print(kl)
    assert 0 < kl["min_max_8"] < kl["gptq"] < 0.8 * kl["min_max"]
    assert results["min_max"].weights.layer_bits == 4.5
    assert results["min_max_8"].weights.layer_bits == 8.5
    assert results["min_max_8"].weights.relative < 0.01 < results["min_max"].weights.relative
    # Q4_0 and ours by min-max are the same method (python/quant/methods/min_max.py).
    assert results["q4_0"].weights.layer_bits == 4.5
    assert results["q4_0"].weights.relative == pytest.approx(
        results["min_max"].weights.relative, rel=0.01
    )
    lines = [table.heading(["text"]).splitlines()[0], table.reference_line(results["gptq"])]
    lines += map(table.line, results.values())
    assert len({line.count("|") for line in lines}) == 1
    assert "minus that of" in table.comparison(results["gptq"], results["min_max"])


def test_what_was_made_is_used_again(evaluation: Evaluation) -> None:
    first = evaluation.measure(ROWS["min_max"])
    assert (
        evaluation.measure(ROWS["min_max"])
        .divergences["text"]
        .kl.equal(first.divergences["text"].kl)
    )


def test_another_calibration_text_makes_another_checkpoint(gguf: Path, tmp_path: Path) -> None:
    errors = []
    for tokens in (_tokens(2, 4), _tokens(2, 4), _tokens(3, 4)):
        text = CalibrationText(tokens=tokens, sha256="0")
        evaluation = Evaluation(gguf, tmp_path, {"text": _tokens(1, 1)}, text, dither_seed=None)
        errors.append(evaluation.measure(ROWS["gptq"]).weights.relative)
    assert errors[0] == errors[1] != errors[2]
    assert len(list(tmp_path.glob("*gptq"))) == 2


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_divergence_is_that_of_the_definition(
    gguf: Path, monkeypatch: pytest.MonkeyPatch, softcap: float | None
) -> None:
    monkeypatch.setattr(divergence, "_VOCABULARY_BLOCK", 100)
    one, other = _model(gguf), _model(gguf)
    for weight in other.state_dict().values():
        weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    for model in (one, other):
        model.config = replace(model.config, final_softcap=softcap)
    tokens = _tokens(3, 3)
    reference = divergence.reference_outputs(one, tokens)
    found = divergence.divergence(reference, other)
    zero = torch.tensor([0])
    p, q = (
        torch.stack([torch.log_softmax(model(row[None], zero)[0], -1) for row in tokens])[:, :-1]
        .double()
        for model in (one, other)
    )  # fmt: skip
    expected = (p.exp() * (p - q)).sum(-1).mean(1)
    surprise = -q.gather(2, tokens[:, 1:, None])[..., 0].mean(1)
    error = max(
        float((found.kl - expected).abs().max()), float((found.surprise - surprise).abs().max())
    )
    print(f"largest error {error:.1e}, {error / 1e-5:.0%} of the tolerance")
    assert error < 1e-5
    assert float(expected.min()) > 1e-3
    theirs = -p.gather(2, tokens[:, 1:, None])[..., 0].mean(1)
    assert float((found.reference_surprise - theirs).abs().max()) < 1e-5
    assert found.reference_perplexity == pytest.approx(float(theirs.mean().exp()), rel=1e-5)
    assert divergence.divergence(reference, one).mean_kl == pytest.approx(0, abs=1e-7)
    mean, standard_error = found.kl_difference(divergence.divergence(reference, one))
    assert mean == pytest.approx(found.mean_kl, abs=1e-6)
    assert standard_error == pytest.approx(float(found.kl.std() / 3**0.5), rel=1e-3)


def test_a_dithered_reference_lies_within_half_a_step(gguf: Path, tmp_path: Path) -> None:
    evaluation = Evaluation(
        gguf, tmp_path, {"text": _tokens(1, 1)},
        CalibrationText(tokens=_tokens(2, 1), sha256="0"), dither_seed=None,
    )  # fmt: skip
    evaluation.measure(ROWS["q4_0"])
    (quantized,) = tmp_path.glob("*Q4_0.gguf")
    with open_checkpoint(quantized) as checkpoint:
        reference_model.write_reference(checkpoint, tmp_path / "a", dither_seed=1)
        reference_model.write_reference(checkpoint, tmp_path / "b", dither_seed=1)
        reference_model.write_reference(checkpoint, tmp_path / "c", dither_seed=2)
        reference_model.write_reference(checkpoint, tmp_path / "kept", dither_seed=None)
        blocks = checkpoint.read("layers.1.mlp.up_proj.weight")
        assert isinstance(blocks, BlockTensor)
        scale = gguf_blocks.decode(
            blocks.type, blocks.blocks.reshape(-1, blocks.type.bytes)
        ).scale  # [blocks, 1]
        with open_checkpoint(tmp_path / "a") as moved, open_checkpoint(tmp_path / "kept") as kept:
            for name in checkpoint.names():
                values = dequantize(name, checkpoint.read(name))
                assert torch.allclose(dequantize(name, kept.read(name)), values, atol=1e-7)
            name = "layers.1.mlp.up_proj.weight"
            change = dequantize(name, moved.read(name)) - dequantize(name, kept.read(name))
    steps = change.reshape(-1, 32) / torch.from_numpy(scale)
    assert float(steps.abs().max()) <= 0.5 + 1e-3
    assert float(steps.std()) == pytest.approx(12**-0.5, rel=0.05)  # uniform
    weights = "model.safetensors"
    assert (tmp_path / "a" / weights).read_bytes() == (tmp_path / "b" / weights).read_bytes()
    assert (tmp_path / "a" / weights).read_bytes() != (tmp_path / "c" / weights).read_bytes()
