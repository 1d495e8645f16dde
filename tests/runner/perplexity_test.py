"""`perplexity`, judged by PyTorch: KL in float64 from whole references, and transformers' own log-probabilities."""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.runner.runner_program import refusal, run

_PLAIN, _INT4 = "ARTIFACT", "INT4_ARTIFACT"
_TEXT = "the capital of Italy is Rome and the capital of France is Paris. " * 3
_TOLERANCE = 1e-3  # nats: of the golden tests, for one position


def perplexity(artifact: str, *arguments: str | Path) -> dict[str, Any]:
    done = run(
        "perplexity", "--model", os.environ[artifact], "--format", "json", "--threads", "1",
        "--quiet", *map(str, arguments),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@dataclass(frozen=True)
class Reference:
    """A reference file over the whole vocabulary, read by its documented layout.

    logprobs: float64 [positions, vocabulary]; windows: the tokens of each, BOS included.
    """

    logprobs: torch.Tensor
    windows: list[list[int]]

    @staticmethod
    def read(path: Path) -> Reference:
        data = path.read_bytes()
        magic, version, vocabulary, top_k, window, bos, _, tokens, positions = struct.unpack_from(
            "<8sIIIIiIQQ", data
        )
        assert (magic, version, top_k) == (b"GEMMAREF", 1, vocabulary)
        text = np.frombuffer(data, "<u4", tokens, 48).tolist()
        start, size = 48 + 4 * tokens, 8 + 8 * top_k
        logprobs = torch.zeros((positions, vocabulary), dtype=torch.float64)
        for i in range(positions):
            at = start + i * size + 8
            ids = np.frombuffer(data, "<u4", top_k, at).astype(np.int64)
            values = np.frombuffer(data, "<f4", top_k, at + 4 * top_k).astype(np.float64)
            logprobs[i, torch.from_numpy(ids)] = torch.from_numpy(values)
        cuts = range(0, tokens, window - 1)
        return Reference(logprobs, [[bos, *text[cut : cut + window - 1]] for cut in cuts])

    def next_tokens(self) -> torch.Tensor:
        return torch.tensor([token for window in self.windows for token in window[1:]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text, and what both models say of it, over the whole vocabulary."""
    folder = tmp_path_factory.mktemp("perplexity")
    text = folder / "text.txt"
    text.write_text(_TEXT)
    for artifact in (_PLAIN, _INT4):
        perplexity(
            artifact, text, "--window", "40", "--write_reference", folder / artifact,
            "--reference_top_k", "1000k",  # all of the vocabulary
        )  # fmt: skip
    return folder


def standard_error(values: torch.Tensor) -> float:
    return float(values.std() / math.sqrt(len(values)))


def test_the_reference_is_what_transformers_says(folder: Path) -> None:
    reference = Reference.read(folder / _PLAIN)
    model = AutoModelForCausalLM.from_pretrained(os.environ["CHECKPOINT"], dtype=torch.float32)
    with torch.inference_mode():
        logits = [model(torch.tensor([window])).logits[0, :-1] for window in reference.windows]
    expected = torch.cat(logits).double().log_softmax(dim=1)
    error = float((reference.logprobs - expected).abs()[expected > -50].max())
    print(f"largest error {error:.2g}, {error / _TOLERANCE:.0%} of the tolerance")
    assert error < _TOLERANCE


def test_kl_and_perplexity_are_those_of_float64(folder: Path) -> None:
    p, q = (Reference.read(folder / artifact) for artifact in (_PLAIN, _INT4))
    report = perplexity(_INT4, "--reference", folder / _PLAIN)
    kl = (p.logprobs.exp() * (p.logprobs - q.logprobs)).sum(dim=1)
    assert report["positions"] == len(kl)
    assert report["kl"]["mean"] == pytest.approx(float(kl.mean()), rel=1e-4)
    assert report["kl"]["mean"] > 1e-4  # INT4 weights differ
    assert report["kl"]["standard_error"] == pytest.approx(standard_error(kl), rel=1e-4)
    assert report["kl"]["median"] == pytest.approx(float(kl.quantile(0.5)), rel=1e-4)
    assert report["kl"]["quantile_99"] == pytest.approx(float(kl.quantile(0.99)), rel=1e-4)
    same = (p.logprobs.argmax(1) == q.logprobs.argmax(1)).double()
    assert report["same_top"]["mean"] == pytest.approx(float(same.mean()))
    following = p.next_tokens()[:, None]
    for key, of in (("perplexity", q), ("reference_perplexity", p)):
        surprise = -of.logprobs.gather(1, following)[:, 0]
        value = float(surprise.mean().exp())
        assert report[key]["mean"] == pytest.approx(value, rel=1e-4)
        assert report[key]["standard_error"] == pytest.approx(
            value * standard_error(surprise), rel=1e-3
        )


def test_fewer_outcomes_are_the_same_sum_with_the_rest_as_one(folder: Path) -> None:
    p, q = (Reference.read(folder / artifact) for artifact in (_PLAIN, _INT4))
    text, top10 = folder / "text.txt", folder / "top10"
    perplexity(
        _PLAIN, text, "--window", "40", "--write_reference", top10, "--reference_top_k", "10"
    )
    report = perplexity(_INT4, "--reference", top10)
    ids = p.logprobs.topk(10).indices
    kept = torch.zeros_like(p.logprobs, dtype=torch.bool).scatter_(1, ids, True)
    rest = [x.logprobs.masked_fill(kept, -math.inf).logsumexp(1) for x in (p, q)]
    kl = (p.logprobs.exp() * (p.logprobs - q.logprobs)).masked_fill(~kept, 0).sum(dim=1)
    kl += rest[0].exp() * (rest[0] - rest[1])
    assert report["kl"]["mean"] == pytest.approx(float(kl.mean()), rel=1e-3)
    whole = perplexity(_INT4, "--reference", folder / _PLAIN)
    assert report["kl"]["mean"] <= whole["kl"]["mean"]


def test_a_model_is_not_away_from_itself(folder: Path) -> None:
    report = perplexity(_PLAIN, "--reference", folder / _PLAIN)
    assert abs(report["kl"]["mean"]) < 1e-6
    assert report["same_top"]["mean"] == 1
    assert report["perplexity"]["mean"] == pytest.approx(report["reference_perplexity"]["mean"])


def test_scores_and_logits_give_the_same_perplexity(folder: Path) -> None:
    scored = perplexity(_PLAIN, folder / "text.txt", "--window", "40")
    compared = perplexity(_PLAIN, "--reference", folder / _PLAIN)
    assert scored["positions"] == compared["positions"]
    assert scored["perplexity"]["mean"] == pytest.approx(compared["perplexity"]["mean"], rel=1e-4)
    assert "kl" not in scored


def test_only_the_first_tokens(folder: Path) -> None:
    report = perplexity(_PLAIN, folder / "text.txt", "--max_tokens", "10")
    assert report["positions"] == 10


def test_what_cannot_be_is_refused(folder: Path, tmp_path: Path) -> None:
    def refused(code: int, *arguments: str | Path) -> str:
        model = ("--model", os.environ[_PLAIN])
        return refusal(run("perplexity", *map(str, arguments), *model), code)

    text = folder / "text.txt"
    assert "there is no text" in refused(2)
    assert "leave one of them away" in refused(2, text, "--reference", folder / _PLAIN)
    assert "--window 1024 is more than the context of 256" in refused(2, text, "--window", "1k")
    assert "no/such" in refused(1, "no/such")
    assert "is no reference that perplexity wrote" in refused(1, "--reference", text)
    cut = tmp_path / "cut"
    cut.write_bytes((folder / _PLAIN).read_bytes()[:-1])
    assert "but its header asks for" in refused(1, "--reference", cut)
    (tmp_path / "empty").write_text("")
    assert "0 tokens, of which none follows" in refused(2, tmp_path / "empty")
