"""The 270M artifact against transformers on the same dequantized weights: greedy text, top-1 ids, log-probabilities.

prompts.json holds each prompt's greedy continuation, as transformers decoded it (make_continuations.py). It is not
believed: transformers scores prompt and continuation here in one pass, and each token must be the most likely one after
those before it, which is what greedy decoding is. One pass of 150 tokens takes the time of a few steps of decoding.

Ties: two implementations that sum in another order may order two tokens differently when their log-probabilities
differ by less than _TIE; such a position does not count as a mismatch, and the greedy comparison ends there.
"""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.golden import oracle

_TOLERANCE = 0.05  # log-probability, nats; measured values are printed and are far below.
_TIE = 1e-3  # nats
_PROMPTS: list[dict[str, Any]] = json.loads(Path("tests/golden/prompts.json").read_text())


@pytest.fixture(scope="module")
def judge() -> torch.nn.Module:
    torch.set_num_threads(2)
    return oracle.gemma3_270m_from_gguf(Path(os.environ["GGUF"]))


def run(*arguments: str) -> str:
    command = [os.environ["RUNNER"], *arguments, "--model", os.environ["ARTIFACT"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("prompt", _PROMPTS, ids=[entry["name"] for entry in _PROMPTS])
def test_greedy_text_and_scores_equal_transformers(judge: Any, prompt: dict[str, Any]) -> None:
    tokens, continuation = prompt["tokens"], prompt["continuation"]
    expected = oracle.log_probabilities(judge, tokens + continuation)  # [tokens, vocabulary]
    check_greedy(continuation, expected[len(tokens) - 1 :])

    lines = run("score", "--tokens", ",".join(map(str, tokens + continuation))).splitlines()
    scores = [json.loads(line) for line in lines]
    check_scores(tokens + continuation, scores, expected)

    text = run(
        "generate", "--raw", "--temperature", "0",
        "--max_new_tokens", str(oracle.NEW_TOKENS), "--prompt", prompt["text"],
    )  # fmt: skip
    check_text(text, continuation, expected[len(tokens) - 1 :])


def check_greedy(continuation: list[int], expected: torch.Tensor) -> None:
    """Each token is the most likely one, and only the limit or an end token ends the text."""
    for i, token in enumerate(continuation):
        assert expected[i].max() - expected[i, token] <= _TIE, f"new token {i}: {token}"
    ends = [token in oracle.END_TOKENS for token in continuation]
    assert not any(ends[:-1]) and (ends[-1] or len(continuation) == oracle.NEW_TOKENS)


def check_scores(tokens: list[int], scores: list[dict[str, Any]], expected: torch.Tensor) -> None:
    assert [score["token"] for score in scores] == tokens
    worst = 0.0
    for i, score in enumerate(scores):
        best = expected[i].topk(2).values
        if best[0] - best[1] > _TIE:
            assert score["top_ids"][0] == int(expected[i].argmax()), f"position {i}"
        for token, value in zip(score["top_ids"], score["top_logprobs"], strict=True):
            worst = max(worst, abs(value - float(expected[i, token])))
        if i + 1 < len(tokens):
            worst = max(worst, abs(score["next_logprob"] - float(expected[i, tokens[i + 1]])))
    assert scores[-1]["next_logprob"] is None
    print(f"largest log-probability error {worst:.2e}, {worst / _TOLERANCE:.1%} of the tolerance")
    assert not math.isnan(worst) and worst <= _TOLERANCE


def check_text(text: str, continuation: list[int], expected: torch.Tensor) -> None:
    """`text` is the continuation's, up to the first position whose two best tokens tie."""
    certain = 0
    for row in expected[: len(continuation)]:
        best = row.topk(2).values
        if best[0] - best[1] <= _TIE:
            break
        certain += 1
    want = decode([token for token in continuation[:certain] if token not in oracle.END_TOKENS])
    print(f"{certain} of {len(continuation)} greedy tokens are free of ties")
    assert (
        text.startswith(want)
        if certain < len(continuation)
        else text.rstrip("\n") == want.rstrip("\n")
    )


def decode(tokens: list[int]) -> str:
    pieces = gguf_pieces()
    return oracle.decode_pieces([pieces[token] for token in tokens])


@functools.cache
def gguf_pieces() -> list[str]:
    return oracle.gguf_pieces(Path(os.environ["GGUF"]))
