"""Tiny random models, transformers against the exported artifact: log-probabilities of `score` for every chunking.

The weights are float32 and not quantized but for one test, so all that is measured is our model, plan, kernels and
caches.
Chunks of window - 1, window, window + 1 and 2 * window + 1 tokens are where ring caches go wrong.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma3TextConfig, PreTrainedModel

from python.checkpoint import ggml_types
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.testing import tiny_gguf
from python.console.progress import Progress
from python.export import export
from python.model.named_configs import tiny_gemma3
from python.quant.recipe import recipe
from tests.golden import oracle

_TOLERANCE = 1e-3  # nats
_PROMPT = 70  # tokens: more than four windows of 16
_CASES = [
    ("gemma4", oracle.tiny_gemma4, 6, 16, 0),
    ("gemma4", oracle.tiny_gemma4, 2, 7, 1),
    ("gemma3", oracle.tiny_gemma3, 6, 16, 3),
    ("gemma3", oracle.tiny_gemma3, 7, 9, 4),
]


def prompt(seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(100 + seed)
    return torch.randint(3, 256, (_PROMPT,), generator=generator).tolist()


def export_model(model: PreTrainedModel, folder: Path, max_prefill_chunk: int) -> Path:
    """The artifact of a transformers model, exported through its Hugging Face folder with recipe `none`."""
    model.save_pretrained(folder / "checkpoint")
    return export_checkpoint(folder / "checkpoint", folder, max_prefill_chunk)


def export_checkpoint(path: Path, folder: Path, max_prefill_chunk: int) -> Path:
    """The artifact `folder`/artifact of a checkpoint, with recipe `none`."""
    output = folder / "artifact"
    quiet = functools.partial(Progress, mode="none")
    with open_checkpoint(path) as checkpoint:
        config = export.read_config(checkpoint)
        export.export_artifact(
            checkpoint,
            config,
            recipe("none", config.num_layers, folder),
            export.Options(
                max_seq_len=128, max_prefill_chunk=max_prefill_chunk, kv_cache_dtype="float32"
            ),
            output,
            progress=quiet,
        )
    return output


def score(artifact: Path, tokens: list[int], chunk: int) -> list[dict[str, Any]]:
    command = [
        os.environ["RUNNER"], "score", "--model", str(artifact),
        "--tokens", ",".join(map(str, tokens)), "--prefill_chunk", str(chunk),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def largest_error(scores: list[dict[str, Any]], tokens: list[int], expected: torch.Tensor) -> float:
    """The largest difference in log-probability; the most likely ids must be the same."""
    worst = 0.0
    for i, line in enumerate(scores):
        assert line["position"] == i and line["token"] == tokens[i]
        assert line["top_ids"][0] == int(expected[i].argmax()), f"position {i}"
        for token, value in zip(line["top_ids"], line["top_logprobs"], strict=True):
            worst = max(worst, abs(value - float(expected[i, token])))
        if i + 1 < len(tokens):
            worst = max(worst, abs(line["next_logprob"] - float(expected[i, tokens[i + 1]])))
    assert len(scores) == len(tokens) and scores[-1]["next_logprob"] is None
    return worst


@pytest.mark.parametrize(("family", "make", "layers", "window", "seed"), _CASES)
def test_scores_equal_transformers_for_every_chunk_length(
    tmp_path: Path, family: str, make: Any, layers: int, window: int, seed: int
) -> None:
    model = make(layers=layers, window=window, seed=seed)
    tokens = prompt(seed)
    expected = oracle.log_probabilities(model, tokens)
    artifact = export_model(model, tmp_path, max_prefill_chunk=_PROMPT)
    for chunk in (1, 2, window - 1, window, window + 1, 2 * window + 1, _PROMPT):
        worst = largest_error(score(artifact, tokens, chunk), tokens, expected)
        print(
            f"{family}, {layers} layers, window {window}, chunk {chunk}: error {worst:.2e} nats,"
            f" {worst / _TOLERANCE:.1%} of the tolerance"
        )
        assert worst <= _TOLERANCE


def test_a_deep_model_is_as_close_to_float64_as_transformers_is(tmp_path: Path) -> None:
    """The judge is transformers in float64; our error may be 1.5 times that of transformers in float32.

    Twelve random layers amplify rounding until float32 itself is off by more than 1e-3 nats.
    """
    model = oracle.tiny_gemma4(layers=12, window=16, seed=2)
    tokens = prompt(2)
    single = oracle.log_probabilities(model, tokens)
    artifact = export_model(model, tmp_path, max_prefill_chunk=_PROMPT)
    exact = oracle.log_probabilities(model.double(), tokens)
    tolerance = 1.5 * float((single - exact).abs().max())
    for chunk in (1, 16, 33, _PROMPT):
        worst = largest_error(score(artifact, tokens, chunk), tokens, exact)
        print(
            f"12 layers, chunk {chunk}: error {worst:.2e} nats, {worst / tolerance:.1%} of the tolerance"
        )
        assert worst <= tolerance


def test_a_smaller_declared_chunk_has_a_smaller_ring_and_the_same_scores(tmp_path: Path) -> None:
    """The ring's size depends on the declared chunk: window - 1 + chunk slots, here used up to the last one."""
    window = 16
    model = oracle.tiny_gemma4(layers=6, window=window, seed=5)
    tokens = prompt(5)
    expected = oracle.log_probabilities(model, tokens)
    artifact = export_model(model, tmp_path, max_prefill_chunk=window + 2)
    for chunk in (1, window, window + 2):
        assert largest_error(score(artifact, tokens, chunk), tokens, expected) <= _TOLERANCE


def random_levels(name: str, shape: tuple[int, ...]) -> tuple[GgmlType, np.ndarray]:
    """Matrices whose codes stand for levels, random and of deviation 0.05, for a GGUF."""
    if len(shape) == 1:
        return tiny_gguf.random_f32(name, shape)
    nonlinear = "k_proj" in name or "embed" in name
    kind = ggml_types.IQ4_NL if nonlinear else ggml_types.IQ4_XS
    random = np.random.default_rng([11, *name.encode()])
    count = shape[0] * shape[1] // kind.columns
    blocks = random.integers(0, 256, (count, kind.bytes), dtype=np.uint8)
    d = (0.05 / (67 if nonlinear else 1250)) * random.uniform(0.5, 1.5, count)
    blocks[:, :2] = d.astype("<f2")[:, None].view(np.uint8)
    return kind, blocks


def test_iq4_xs_and_iq4_nl_score_as_the_weights_that_gguf_py_dequantizes(tmp_path: Path) -> None:
    """Such weights are exact, so the tolerance is that of weights which are not quantized."""
    path = tmp_path / "levels.gguf"
    config = tiny_gemma3(num_layers=2)
    path.write_bytes(tiny_gguf.without_tokenizer(config, random_levels))
    kinds = [f"{kind}_attention" for kind in config.layer_kinds]
    model = oracle.gemma3_from_gguf(
        path,
        Gemma3TextConfig(
            vocab_size=256, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=1, head_dim=64, query_pre_attn_scalar=64,
            sliding_window=16, max_position_embeddings=512, layer_types=kinds,
            tie_word_embeddings=True, attn_implementation="eager",
        ),
    )  # fmt: skip
    tokens = prompt(9)
    expected = oracle.log_probabilities(model, tokens)
    artifact = export_checkpoint(path, tmp_path, max_prefill_chunk=_PROMPT)
    for chunk in (1, 3, 17, _PROMPT):
        worst = largest_error(score(artifact, tokens, chunk), tokens, expected)
        print(
            f"IQ4, chunk {chunk}: error {worst:.2e} nats, {worst / _TOLERANCE:.1%} of the tolerance"
        )
        assert worst <= _TOLERANCE
