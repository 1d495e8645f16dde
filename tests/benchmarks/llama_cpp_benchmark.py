"""Our runner against llama.cpp, on the same GGUF weights, the same machine and the same number of threads.

The two take turns, pair by pair, because machines drift; what counts is the median of the pairs' ratios. llama.cpp is
the build inside the PyPI wheel `cyllama`. Neither side samples: one prompt of --prompt_tokens in chunks of 512, then
--new_tokens single-token steps behind it.

    ./bazelw run -c opt //tests/benchmarks:llama_cpp_benchmark -- --pairs 5
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import cyllama.llama.llama_cpp as llama
from absl import app, flags

_PAIRS = flags.DEFINE_integer("pairs", 5, "Times that each side runs.", lower_bound=1)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of each side.", lower_bound=1)
_PROMPT_TOKENS = flags.DEFINE_integer(
    "prompt_tokens", 512, "Tokens of the prompt.", lower_bound=1, upper_bound=512
)
_NEW_TOKENS = flags.DEFINE_integer(
    "new_tokens", 64, "Tokens decoded after the prompt.", lower_bound=1
)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Tokens per second."""

    prefill: float
    decode: float


class LlamaCpp:
    """llama.cpp with the GGUF loaded once."""

    def __init__(self, path: str, threads: int, capacity: int) -> None:
        llama.disable_logging()
        self._model = llama.LlamaModel(path, llama.LlamaModelParams())
        parameters = llama.LlamaContextParams()
        parameters.n_ctx = capacity
        parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = threads
        self._context = llama.LlamaContext(self._model, parameters)

    def measure(self, prompt_tokens: int, new_tokens: int) -> Speed:
        self._context.kv_cache_clear()
        prompt = [2] + [300 + 7919 * i % 200_000 for i in range(prompt_tokens - 1)]
        start = time.perf_counter()
        self._context.decode(llama.llama_batch_get_one(prompt, 0))
        middle = time.perf_counter()
        for i in range(new_tokens):
            self._context.decode(llama.llama_batch_get_one([500 + i], prompt_tokens + i))
        end = time.perf_counter()
        return Speed(prefill=prompt_tokens / (middle - start), decode=new_tokens / (end - middle))


def measure_runner(threads: int, prompt_tokens: int, new_tokens: int) -> Speed:
    command = [
        os.environ["RUNNER"], "bench", "--model", os.path.abspath(os.environ["ARTIFACT"]),
        "--device", "cpu", "--threads", str(threads),
        "--prefill", str(prompt_tokens), "--decode", str(new_tokens), "--depth", f"0,{prompt_tokens}",
        "--repetitions", "1", "--format", "json",
    ]  # fmt: skip
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    speeds = {
        (entry["test"], entry["depth"]): entry["tokens_per_second"]["mean"]
        for entry in result["results"]
    }
    return Speed(prefill=speeds["prefill", 0], decode=speeds["decode", prompt_tokens])


def row(name: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return (
        f"{name:8} {statistics.median(ours):10.1f} {statistics.median(theirs):10.1f}"
        f" {statistics.median(ratios):8.2f}   ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    prompt, new = _PROMPT_TOKENS.value, _NEW_TOKENS.value
    peer = LlamaCpp(os.environ["GGUF"], _THREADS.value, prompt + new)
    peer.measure(prompt, 4)  # warms the page cache and the threads
    ours, theirs = [], []
    for _ in range(_PAIRS.value):
        ours.append(measure_runner(_THREADS.value, prompt, new))
        theirs.append(peer.measure(prompt, new))
    print(
        f"{_THREADS.value} threads, prompt of {prompt}, {new} tokens after it,"
        f" {_PAIRS.value} pairs; medians in tokens/s"
    )
    print(f"{'':8} {'ours':>10} {'llama.cpp':>10} {'ratio':>8}")
    print(row("prefill", [s.prefill for s in ours], [s.prefill for s in theirs]))
    print(row("decode", [s.decode for s in ours], [s.decode for s in theirs]))


if __name__ == "__main__":
    app.run(main)
