"""Tests of generate, against transformers' greedy continuation and against itself."""

import dataclasses
from typing import Any

import pytest
import torch

from python.console.errors import UserError
from python.inference.generate import GenerationOptions, compile_decode, generate, score
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.model.sampler import Sampling
from python.model.testing.hf_reference import hf_model, our_model, random_tokens
from python.model.transformer import GemmaModel

torch.set_num_threads(1)

CONFIG = tiny_gemma4(num_layers=2, window=5)
PROMPT = random_tokens(CONFIG, 23, 4)[0].tolist()


def tiny(config: GemmaConfig = CONFIG, **limits: Any) -> GemmaModel:
    limits = {"max_context": 64, "max_chunk": 9} | limits
    return our_model(config, hf_model(config, 0), **limits)


@pytest.mark.parametrize("make", [tiny_gemma4, tiny_gemma3])
def test_greedy_text_is_that_of_transformers(make: Any) -> None:
    config = make(num_layers=2, window=5)
    found = generate(tiny(config), PROMPT, GenerationOptions(max_new_tokens=20)).tokens
    theirs = hf_model(config, 0).generate(
        torch.tensor([PROMPT]), max_new_tokens=20, do_sample=False, eos_token_id=None
    )
    assert list(found) == theirs[0, len(PROMPT) :].tolist()


@pytest.mark.parametrize("chunk", [1, 2, 4, 5, 6, 11, 23])
def test_the_text_does_not_depend_on_the_chunks(chunk: int) -> None:
    sampling = Sampling(temperature=1.2, top_k=100, top_p=0.95)
    options = GenerationOptions(max_new_tokens=20, sampling=sampling, seed=5)
    expected = generate(tiny(), PROMPT, options).tokens
    assert generate(tiny(max_chunk=chunk), PROMPT, options).tokens == expected


def test_the_seed_decides_and_the_callback_sees_every_token() -> None:
    model, sampling = tiny(), Sampling(temperature=2.0)
    seen: list[int] = []
    first = generate(
        model,
        PROMPT,
        GenerationOptions(max_new_tokens=20, sampling=sampling, seed=1),
        on_token=seen.append,
    )
    assert tuple(seen) == first.tokens
    assert (first.stop_reason, first.prompt_tokens) == ("max_new_tokens", 23)
    again = GenerationOptions(max_new_tokens=20, sampling=sampling, seed=1)
    assert generate(model, PROMPT, again).tokens == first.tokens
    other = GenerationOptions(max_new_tokens=20, sampling=sampling, seed=2)
    assert generate(model, PROMPT, other).tokens != first.tokens


def test_a_stop_id_ends_the_text_and_is_not_part_of_it() -> None:
    free = generate(tiny(), PROMPT, GenerationOptions(max_new_tokens=20)).tokens
    stop = free[3]
    options = GenerationOptions(max_new_tokens=20, stop_ids={stop})
    stopped = generate(tiny(), PROMPT, options)
    assert stopped.tokens == free[: free.index(stop)]
    assert stopped.stop_reason == "stop_id"


def test_suppressed_ids_are_never_drawn() -> None:
    model, free = tiny(), generate(tiny(), PROMPT, GenerationOptions(max_new_tokens=20)).tokens
    for sampling in (Sampling(), Sampling(temperature=50.0)):
        options = GenerationOptions(
            max_new_tokens=20, sampling=sampling, suppressed_ids=(free[0], free[5])
        )
        assert not {free[0], free[5]} & set(generate(model, PROMPT, options).tokens)
        allowed = set(range(CONFIG.vocab_size)) - {7}
        options = dataclasses.replace(options, suppressed_ids=allowed)
        assert generate(model, PROMPT, options).tokens == (7,) * 20


def test_a_full_context_ends_the_text_after_the_token_that_needs_no_place() -> None:
    result = generate(tiny(max_context=26), PROMPT, GenerationOptions(max_new_tokens=20))
    assert result.stop_reason == "context"
    free = generate(tiny(), PROMPT, GenerationOptions(max_new_tokens=20)).tokens
    assert result.tokens == free[: 26 - 23 + 1]
    whole = generate(tiny(max_context=23), PROMPT, GenerationOptions(max_new_tokens=20))
    assert whole.tokens == free[:1]


@pytest.mark.parametrize("chunk", [1, 6, 9, None])
def test_scores_are_log_probabilities(chunk: int | None) -> None:
    scores = list(score(tiny(), PROMPT, chunk))
    expected = torch.log_softmax(hf_model(CONFIG, 0)(torch.tensor([PROMPT])).logits[0], dim=-1)
    assert [line.position for line in scores] == list(range(23))
    assert [line.token for line in scores] == PROMPT
    assert scores[-1].next_logprob is None
    for line, following in zip(scores, PROMPT[1:], strict=False):
        row = expected[line.position]
        assert line.next_logprob == pytest.approx(row[following].item(), abs=2e-4)
        assert line.top_ids == tuple(row.topk(5).indices.tolist())
        assert line.top_logprobs == pytest.approx(row.topk(5).values.tolist(), abs=2e-4)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "the prompt has no tokens"),
        ([1] * 65, "the prompt has 65 tokens, the context holds 64"),
        ([1, 256], r"token 256 is outside 0\.\.255"),
        ([-1], r"token -1 is outside 0\.\.255"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(prompt: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(tiny(), prompt, GenerationOptions(max_new_tokens=1))
    with pytest.raises(UserError, match=message):
        list(score(tiny(), prompt))


def test_limits_are_refused() -> None:
    with pytest.raises(UserError, match="max_new_tokens 0 is less than 1"):
        GenerationOptions(max_new_tokens=0)
    with pytest.raises(UserError, match=r"chunks of 10 are outside 1\.\.9"):
        list(score(tiny(), PROMPT, 10))


def test_the_compiled_step_is_one_graph_and_gives_the_same_text() -> None:
    """By the back end that runs the graph as it is; a GPU test has the compiled code."""
    model = tiny()
    options = GenerationOptions(max_new_tokens=12, sampling=Sampling(temperature=2.0), seed=4)
    expected = generate(model, PROMPT, options).tokens
    decode = compile_decode(model, backend="aot_eager")
    assert generate(model, PROMPT, options, decode=decode).tokens == expected


def test_a_step_that_cannot_be_compiled_is_one_sentence() -> None:
    def backend(graph: torch.fx.GraphModule, example: object) -> Any:
        raise RuntimeError("no compiler\nhere")

    decode = compile_decode(tiny(), backend=backend)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"--compile: torch.compile failed: no compiler \(use"):
        generate(tiny(), PROMPT, GenerationOptions(max_new_tokens=2), decode=decode)
