"""The table of docs/benchmarks/quality_270m.md: what each way to quantize costs in quality.

    ./bazelw run //python/evaluate -- --work DIR --rows q4_k_m,gptq

The weights are those of the packaged Gemma 3 270M, which somebody quantized before: see
`reference_model.py` for why they are dithered, and `texts.py` for what is judged.
"""

import os
from pathlib import Path

import torch
from absl import flags

from python.checkpoint.open_checkpoint import open_checkpoint
from python.console import main
from python.console.errors import UsageError
from python.console.flag_types import define_path, define_tokens
from python.evaluate import table, texts
from python.evaluate.evaluation import Evaluation, Result
from python.evaluate.rows import ROWS
from python.text.text_tokenizer import tokenizer_of

_WORK = define_path("work", None, "A folder for what is made; several GB.", required=True)
_CHECKPOINT = define_path("checkpoint", None, "A GGUF file. Unless given: the packaged one.")
_ROWS = flags.DEFINE_list("rows", list(ROWS), "Which rows to measure.")
_DITHER = flags.DEFINE_boolean("dither", True, "Move the weights off the grid they came on.")
_SEED = flags.DEFINE_integer("dither_seed", 1, "Same seed, same reference.", lower_bound=0)
_TOKENS = define_tokens("tokens", 4096, "Of each text that is judged.", least=512)
_CALIBRATION = define_tokens(
    "calibration_tokens", 65_536, "Half of them in many languages.", least=1024
)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of torch.", lower_bound=1)
_PEER = "q4_k_m"


def program() -> None:
    unknown = sorted(set(_ROWS.value) - set(ROWS))
    if not _ROWS.value:
        raise UsageError(f"--rows is empty (use {', '.join(ROWS)})")
    if unknown:
        raise UsageError(f"--rows: {', '.join(unknown)} is unknown (use {', '.join(ROWS)})")
    torch.set_num_threads(_THREADS.value)
    gguf = Path(os.environ["GGUF"]).absolute()
    if _CHECKPOINT.value is not None:
        gguf = _CHECKPOINT.value
    work = _WORK.value
    work.mkdir(parents=True, exist_ok=True)
    with open_checkpoint(gguf) as checkpoint:
        tokenizer, bos = tokenizer_of(checkpoint.tokenizer), checkpoint.config.bos_id
    judged = texts.judged_texts(tokenizer, bos, _TOKENS.value)
    calibration = texts.calibration_text(tokenizer, bos, _CALIBRATION.value)
    seed = _SEED.value if _DITHER.value else None
    evaluation = Evaluation(gguf, work, judged, calibration, seed)
    for text, tokens in judged.items():
        print(f"{text}: {tokens.shape[0]} sequences of {tokens.shape[1]} tokens")
    print(f"calibration: {calibration.identity()}\n\n{table.heading(list(judged))}", flush=True)
    results: dict[str, Result] = {}
    for name in _ROWS.value:
        results[name] = evaluation.measure(ROWS[name])
        if len(results) == 1:
            print(table.reference_line(results[name]))
        print(table.line(results[name]), flush=True)
    if _PEER in results:
        print()
        for name, result in results.items():
            if name != _PEER:
                print(table.comparison(result, results[_PEER]))


if __name__ == "__main__":
    main.run(program)
