"""Tests of the methods: what they return, and that they export without memory and in seconds."""

import resource
import time
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from python.model.methods import Decode, Prefill, Score
from python.model.named_configs import gemma3_270m, gemma4_31b, tiny_gemma4
from python.model.sampler import Sampling, draw
from python.model.testing.hf_reference import hf_model, our_model, random_tokens
from python.model.transformer import GemmaModel

torch.set_num_threads(1)

ONE = torch.ones(1, dtype=torch.int64)


def tiny(seed: int = 0) -> GemmaModel:
    config = tiny_gemma4(num_layers=2, window=5)
    return our_model(config, hf_model(config, seed), max_context=64, max_chunk=16)


def test_prefill_and_decode_draw_from_the_last_tokens_logits() -> None:
    model = tiny()
    tokens = random_tokens(model.config, 12, 1)
    logits = model(tokens, ONE * 0)[0]
    sampling = Sampling(temperature=1.5, top_k=50)
    args = (ONE, sampling.to_tensor(), ONE * 7)
    first = Prefill(model)(tokens[:, :11], ONE * 0, *args)
    assert first.shape == (1, 1)
    assert first.dtype == torch.int64
    assert first.item() == draw(logits[10], sampling, seed=7, position=11)
    second = Decode(model)(tokens[:, 11:], ONE * 11, *args)
    assert second.item() == draw(logits[11], sampling, seed=7, position=12)


def test_emit_zero_returns_minus_one_and_fills_the_caches() -> None:
    model = tiny()
    tokens = random_tokens(model.config, 12, 1)
    greedy = Sampling().to_tensor()
    expected = model(tokens, ONE * 0)[0, -1].argmax()
    assert Prefill(model)(tokens[:, :7], ONE * 0, ONE * 0, greedy, ONE).item() == -1
    assert Prefill(model)(tokens[:, 7:], ONE * 7, ONE, greedy, ONE).item() == expected


def test_score_gives_log_probabilities_of_the_targets() -> None:
    model = tiny()
    tokens = random_tokens(model.config, 12, 1)
    targets = torch.cat((tokens[:, 1:], torch.tensor([[-1]])), dim=1)
    expected = torch.log_softmax(model(tokens, ONE * 0)[0], dim=-1)
    logprob, top_ids, top_logprobs = Score(model)(tokens, ONE * 0, targets)
    assert logprob.shape == (1, 12)
    assert top_ids.shape == top_logprobs.shape == (1, 12, 5)
    for row in range(11):
        assert logprob[0, row] == expected[row, targets[0, row]]
    assert logprob[0, 11].isnan()
    assert torch.equal(top_ids[0, :, 0], expected.argmax(-1))
    assert torch.equal(top_logprobs[0, :, 0], expected.max(-1).values)


def arguments(method: str, tokens: int) -> tuple[torch.Tensor, ...]:
    ids, number = torch.zeros(1, tokens, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    if method == "score":
        return ids, number, ids.clone()
    return ids, number, number.clone(), torch.zeros(4), number.clone()


def export(method: str, config: Any, **options: Any) -> torch.export.ExportedProgram:
    """The method of a model whose weights take no memory."""
    limits = {"max_context": 8192, "max_chunk": 512} | options
    tokens = torch.export.Dim("tokens", min=1, max=limits["max_chunk"])
    shapes = {
        "prefill": ({1: tokens}, None, None, None, None),
        "decode": (None,) * 5,
        "score": ({1: tokens}, None, {1: tokens}),
    }
    modules = {"prefill": Prefill, "decode": Decode, "score": Score}
    with FakeTensorMode(allow_non_fake_inputs=True):
        module = modules[method](GemmaModel(config, **limits))
        args = arguments(method, 1 if method == "decode" else 8)
        return torch.export.export(module, args, dynamic_shapes=shapes[method], strict=False)


def operators(program: torch.export.ExportedProgram) -> list[str]:
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # Linux counts kilobytes


@pytest.mark.parametrize("method", ["prefill", "decode", "score"])
def test_one_layer_of_each_kind_of_the_31b_exports_in_seconds(method: str) -> None:
    began, before = time.monotonic(), peak_gigabytes()
    found = operators(export(method, gemma4_31b(), layer_indices=(0, 5)))
    seconds = time.monotonic() - began
    grown = peak_gigabytes() - before
    print(f"{method}: {seconds:.1f} s, {len(found)} operators, {grown:.2f} GB more")
    assert seconds < 10
    assert grown < 0.5
    assert found.count("gemma.cached_attention.default") == 2
    assert found.count("aten.linear.default") == 7 + 6 + 1
    assert found.count("aten.rms_norm.default") == 2 * 7 + 1
    assert found.count("gemma.score.default" if method == "score" else "gemma.sample.default") == 1


def test_a_float32_model_exports_no_idle_casts() -> None:
    program = export("decode", gemma3_270m(), layer_indices=(0, 5))
    casts = [node for node in program.graph.nodes if "aten.to" in str(node.target)]
    inputs = {node.args[0].meta["val"].dtype for node in casts}
    assert inputs == {torch.int64}  # positions to angles


@pytest.mark.parametrize("method", ["prefill", "decode", "score"])
def test_the_exported_program_computes_what_the_module_does(method: str) -> None:
    model = tiny()
    modules = {"prefill": Prefill, "decode": Decode, "score": Score}
    count = 1 if method == "decode" else 9
    tokens = torch.export.Dim("tokens", min=1, max=16)
    args = arguments(method, 1 if method == "decode" else 4)
    shapes: Any = {
        "prefill": ({1: tokens}, None, None, None, None),
        "decode": None,
        "score": ({1: tokens}, None, {1: tokens}),
    }[method]
    module = modules[method](model)
    program = torch.export.export(module, args, dynamic_shapes=shapes, strict=False).module()
    ids = random_tokens(model.config, count, 3)
    rest = (ids,) if method == "score" else (ONE, Sampling().to_tensor(), ONE)
    for found, expected in zip(
        program(ids, ONE * 0, *rest), module(ids, ONE * 0, *rest), strict=True
    ):
        assert torch.equal(found, expected)
