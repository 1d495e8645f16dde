"""The table of docs/benchmarks/quality_270m.md: what each way to quantize costs in quality.

    ./bazelw run //python/evaluate -- --work DIR [--rows q4_k_m,gptq] [--nodither]

The weights are those of the packaged Gemma 3 270M, which somebody quantized before: see
`reference_model.py` for why they are dithered. There are two texts: Python's own reference
documentation, and what the model wrote by itself (24 documents sampled at temperature 1: pages,
news, code, several languages). Calibration sees the first halves of both, the second are judged.
"""

import hashlib
import os
from pathlib import Path
from pydoc_data.topics import topics

import torch
from absl import flags

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.console import main
from python.console.errors import UsageError
from python.evaluate import table
from python.evaluate.evaluation import Evaluation, Result
from python.evaluate.rows import ROWS
from python.inference.text_tokenizer import tokenizer_of
from python.quant import calibration_text
from python.quant.calibration_text import CalibrationText

_WORK = flags.DEFINE_string("work", None, "A folder for what is made; several GB.", required=True)
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A GGUF file; the packaged one by default.")
_ROWS = flags.DEFINE_list("rows", list(ROWS), "Which rows to measure.")
_DITHER = flags.DEFINE_boolean("dither", True, "Move the weights off the grid they came on.")
_SEED = flags.DEFINE_integer("dither_seed", 1, "Same seed, same reference.", lower_bound=0)
_TOKENS = flags.DEFINE_integer("tokens", 2048, "Of each text that is judged.", lower_bound=512)
_CALIBRATION = flags.DEFINE_integer(
    "calibration_tokens", 7_168, "Half of them from each text.", lower_bound=512
)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of torch.", lower_bound=1)
_SEQUENCE = 256
_PEER = "q4_k_m"


def program() -> None:
    unknown = sorted(set(_ROWS.value) - set(ROWS))
    if unknown:
        raise UsageError(f"--rows: {', '.join(unknown)} is unknown (use {', '.join(ROWS)})")
    torch.set_num_threads(_THREADS.value)
    gguf = Path(os.environ["GGUF"]).absolute()
    if _CHECKPOINT.value is not None:
        gguf = main.user_path(_CHECKPOINT.value)
    work = main.user_path(_WORK.value)
    work.mkdir(parents=True, exist_ok=True)
    with open_checkpoint(gguf) as checkpoint:
        texts, calibration = _texts(checkpoint)
    seed = _SEED.value if _DITHER.value else None
    evaluation = Evaluation(gguf, work, texts, calibration, seed)
    for text, tokens in texts.items():
        print(f"{text}: {tokens.shape[0]} sequences of {tokens.shape[1]} tokens")
    print(f"calibration: {calibration.identity()}\n\n{table.heading(list(texts))}", flush=True)
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


def _texts(checkpoint: Checkpoint) -> tuple[dict[str, torch.Tensor], CalibrationText]:
    """The texts to judge, by name, and the one to calibrate with; they share nothing."""
    tokenizer = tokenizer_of(checkpoint.tokenizer)
    bos = checkpoint.config.bos_id
    sources = {
        "documentation": "\n".join(topics[key] for key in sorted(topics)),
        "sampled": Path(__file__).with_name("sampled_text.txt").read_text(),
    }
    judged: dict[str, torch.Tensor] = {}
    calibration = []
    for name, text in sources.items():
        ids = tokenizer.encode(text)
        half = len(ids) // 2
        judged[name] = calibration_text.sequences_of(ids[half:], bos, _SEQUENCE, _TOKENS.value)
        share = _CALIBRATION.value // len(sources)
        calibration.append(calibration_text.sequences_of(ids[:half], bos, _SEQUENCE, share))
    digest = hashlib.sha256("\n".join(sources.values()).encode()).hexdigest()
    return judged, CalibrationText(tokens=torch.cat(calibration), sha256=digest)


if __name__ == "__main__":
    main.run(program)
