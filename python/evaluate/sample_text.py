"""Makes sampled_mixed.json and sampled_languages.json: documents that the model writes by itself.

    ./bazelw run //python/evaluate:sample_text -- --openings mixed --work DIR --output FILE

Sampled by transformers, not by our model, at temperature 1 from the weights as stored. Every second
document starts from nothing; each of the others is begun by an opening of its own, so that no two
share their beginning. The same seed, torch and number of threads give the same file.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from absl import flags
from transformers import AutoModelForCausalLM

from python.artifact import atomic_write
from python.checkpoint.open_checkpoint import open_checkpoint
from python.console import main
from python.console.errors import UserError
from python.console.flag_types import define_path
from python.console.progress import Progress, define_progress_flag, progress_mode
from python.evaluate import openings, reference_model
from python.text.text_tokenizer import TextTokenizer, tokenizer_of

_WORK = define_path("work", None, "A folder for the plain weights; 1 GB.", required=True)
_OUTPUT = define_path("output", None, "The JSON file to write.", required=True)
_OPENINGS = flags.DEFINE_enum(
    "openings", None, ["mixed", "languages"], "Which texts begin the documents.", required=True
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace an earlier output.")
_SEED = flags.DEFINE_integer("seed", 20, "Of torch's generator.", lower_bound=0)
_LENGTH = flags.DEFINE_integer("tokens", 272, "Of each document.", lower_bound=2)
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of torch.", lower_bound=1)
define_progress_flag()
# Never sampled: pad, end, begin and unknown, which are the first four ids, and what has no text.
_CONTROL = (0, 1, 2, 3)
_CONTROL_TEXTS = ("<start_of_image>", "<end_of_image>", "<start_of_turn>", "<end_of_turn>")

OPENINGS = {"mixed": openings.MIXED, "languages": openings.LANGUAGES}


def program() -> None:
    torch.set_num_threads(_THREADS.value)
    work = _WORK.value
    work.mkdir(parents=True, exist_ok=True)
    folder = work / "as_stored"
    with open_checkpoint(Path(os.environ["GGUF"]).absolute()) as checkpoint:
        if not folder.exists():
            reference_model.write_reference(checkpoint, folder, None)
        tokenizer, bos = tokenizer_of(checkpoint.tokenizer), checkpoint.config.bos_id
    if bos is None:
        raise UserError("the checkpoint has no BOS token, with which every document begins")
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    begun = [
        [bos, *tokenizer.encode(text)]
        for opening in OPENINGS[_OPENINGS.value]
        for text in ("", opening)
    ]
    excluded = [*_CONTROL, *map(tokenizer.special, _CONTROL_TEXTS)]
    documents = sample(model, begun, excluded, _LENGTH.value, _SEED.value, progress_mode())
    output = _OUTPUT.value
    atomic_write.write_file(
        output, as_json(documents, tokenizer).encode(), overwrite=_OVERWRITE.value
    )
    print(output)


@torch.inference_mode()
def sample(
    model: torch.nn.Module,
    openings: list[list[int]],
    excluded: list[int],
    length: int,
    seed: int,
    progress: str,
) -> torch.Tensor:
    """int64 [documents, length]: each continues its opening at temperature 1, without `excluded`."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.zeros((len(openings), length), dtype=torch.int64)
    given = torch.zeros(tokens.shape, dtype=torch.bool)
    for row, opening in enumerate(openings):
        part = opening[:length]
        tokens[row, : len(part)] = torch.tensor(part)
        given[row, : len(part)] = True
    cache = None
    with Progress("sample", total=length - 1, mode=progress) as shown:
        for place in range(1, length):
            outputs = model(
                input_ids=tokens[:, place - 1 : place], past_key_values=cache, use_cache=True
            )
            cache = outputs.past_key_values
            chosen = _choose(outputs.logits[:, -1], excluded, generator)
            tokens[:, place] = torch.where(given[:, place], tokens[:, place], chosen)
            shown.advance()
    return tokens


def _choose(logits: torch.Tensor, excluded: list[int], generator: torch.Generator) -> torch.Tensor:
    """logits [documents, vocabulary] -> int64 [documents], by the inverse of the cumulative sums."""
    chances = (logits - logits.amax(dim=1, keepdim=True)).exp_()
    chances[:, excluded] = 0
    sums = chances.cumsum(dim=1, dtype=torch.float64)
    uniform = torch.rand((len(sums), 1), dtype=torch.float64, generator=generator)
    return torch.searchsorted(sums, uniform * sums[:, -1:], right=True)[:, 0]


def as_json(documents: torch.Tensor, tokenizer: TextTokenizer) -> str:
    """A list of texts, one a line."""
    texts = [tokenizer.decode(row[1:]) for row in documents.tolist()]
    lines = ",\n".join(json.dumps(text, ensure_ascii=False) for text in texts)
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    main.run(program)
