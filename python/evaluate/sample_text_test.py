"""The sampler on a tiny model: what is given stays, what follows has the model's own distribution."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from python.checkpoint.testing import synthetic
from python.evaluate import openings, sample_text
from python.model.named_configs import tiny_gemma3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    synthetic.write_checkpoint(folder, tiny_gemma3(num_layers=2), dtype=torch.float32)
    loaded: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return loaded.eval()


def test_openings_stay_and_nothing_excluded_follows(model: torch.nn.Module) -> None:
    begun = [[2], [2, 7, 8, 9], [2, *range(20, 40)]]
    excluded = [0, 1, 2, 3, 50]
    first = sample_text.sample(model, begun, excluded, 16, 5, "none")
    assert first.shape == (3, 16)
    for row, opening in zip(first.tolist(), begun, strict=True):
        assert row[: len(opening)] == opening[:16]
        assert not set(row[len(opening) :]) & set(excluded)
    assert first.equal(sample_text.sample(model, begun, excluded, 16, 5, "none"))
    assert not first.equal(sample_text.sample(model, begun, excluded, 16, 6, "none"))


def test_the_second_token_has_the_models_distribution(model: torch.nn.Module) -> None:
    count = 4000
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[2]])).logits[0, -1].clone()
    excluded = [int(logits.argmax())]
    logits[excluded] = -torch.inf
    expected = torch.softmax(logits, dim=-1)
    tokens = sample_text.sample(model, [[2]] * count, excluded, 2, 1, "none")[:, 1]
    found = torch.bincount(tokens, minlength=len(expected)) / count
    distance = float((found - expected).abs().sum()) / 2
    # Of an honest sample: a mean of sqrt(2 p (1 - p) / (pi count)) for every token, halved.
    honest = float((2 * expected * (1 - expected) / (torch.pi * count)).sqrt().sum()) / 2
    print(f"total variation {distance:.4f}, {distance / (1.3 * honest):.0%} of the tolerance")
    assert distance < 1.3 * honest
    uniform = float((1 / len(expected) - expected).abs().sum()) / 2
    assert uniform > 1.3 * honest


def test_the_file_is_one_text_a_line() -> None:
    class Letters:
        def decode(self, tokens: list[int]) -> str:
            return "".join(chr(token) for token in tokens)

    text = sample_text.as_json(torch.tensor([[2, 97, 10], [2, 228, 34]]), Letters())  # type: ignore[arg-type]
    assert json.loads(text) == ["a\n", 'ä"']
    assert len(text.splitlines()) == 4


def test_openings_differ() -> None:
    every = [*openings.MIXED, *openings.LANGUAGES]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("name", list(sample_text.OPENINGS))
def test_the_committed_files_are_of_these_openings(name: str) -> None:
    path = Path(sample_text.__file__).with_name(f"sampled_{name}.json")
    documents = json.loads(path.read_text())
    begun = sample_text.OPENINGS[name]
    assert len(documents) == 2 * len(begun)
    for document, opening in zip(documents[1::2], begun, strict=True):
        assert document.startswith(opening)
    assert len(set(documents)) == len(documents)
