"""Makes a tiny Gemma 4 checkpoint: a Hugging Face folder with random weights and a small tokenizer.

    ./bazelw run //python/export/testing:make_tiny_checkpoint -- --output DIR

For builds and tests that need a whole checkpoint where no real one may be had. The weights are
python/checkpoint/synthetic's; the tokenizer is made here, in the form of Gemma's own: byte-pair
encoding with byte fallback, turn markers, BOS added once. What must stay true: the same flags give
the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from absl import flags

from python.artifact import atomic_write
from python.checkpoint.testing import synthetic
from python.console import main
from python.console.errors import UsageError
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import tiny_gemma4
from python.text import chat_templates

SPACE = "\u2581"
VOCABULARY = 512
_CONTROL = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<|turn>",
    "<turn|>",
    "<|channel>",
    "<channel|>",
    "<|think|>",
)
# They stand behind the text's pieces.
_TOOL_MARKERS = (
    "<|tool>",
    "<tool|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    '<|"|>',
)
_STOPS = ("<eos>", "<turn|>")
CHAT_TEMPLATE = chat_templates.source("gemma4")
_WORDS = ("the", "and", "of", "to", "in", "is", "that", "it", "was", "capital", "France", "Paris")
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

FLAGS = flags.FLAGS


def tiny_config(**changes: Any) -> GemmaConfig:
    """Gemma 4 in small: 6 layers of which the last is full, window 16, 512 positions."""
    ids = {"stop_ids": _ids_of(*_STOPS), "bos_id": _CONTROL.index("<bos>")}
    return tiny_gemma4(**({"vocab_size": VOCABULARY} | ids | changes))


def tokenizer_json(vocabulary: int) -> dict[str, Any]:
    """tokenizer.json: markers, byte pieces, ASCII, a few words, tools' markers, unused pieces."""
    pieces = [*_CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), "\n", SPACE]
    pieces += [chr(code) for code in range(0x21, 0x7F)]
    merges = _merges()
    pieces += [left + right for left, right in merges]
    pieces += _TOOL_MARKERS
    if len(pieces) > vocabulary:
        raise UsageError(
            f"a vocabulary of {vocabulary} is too small: {len(pieces)} pieces are needed"
        )
    pieces += [f"<unused{number}>" for number in range(vocabulary - len(pieces))]
    vocab = {piece: id_ for id_, piece in enumerate(pieces)}
    space = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    single = [
        {"SpecialToken": {"id": "<bos>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ]
    bos = {"id": "<bos>", "ids": [_CONTROL.index("<bos>")], "tokens": ["<bos>"]}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token, vocab[token]) for token in (*_CONTROL, *_TOOL_MARKERS)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": single, "special_tokens": {"<bos>": bos},
            "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        },
        "decoder": {
            "type": "Sequence", "decoders": [space, {"type": "ByteFallback"}, {"type": "Fuse"}],
        },
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True,
            "ignore_merges": False, "vocab": vocab, "merges": [list(pair) for pair in merges],
        },
    }  # fmt: skip


def _merges() -> list[tuple[str, str]]:
    """Merges that build each word, and its form after a space, from the left."""
    merges: dict[tuple[str, str], None] = {}
    for word in (*(SPACE + word for word in _WORDS), *_WORDS):
        for end in range(1, len(word)):
            merges.setdefault((word[:end], word[end]))
    return list(merges)


def _added(token: str, id_: int) -> dict[str, Any]:
    flags_off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id_, "content": token, **flags_off, "special": True}


def _ids_of(*tokens: str) -> tuple[int, ...]:
    return tuple(_CONTROL.index(token) for token in tokens)


def _make_checkpoint() -> None:
    output = main.user_path(FLAGS.output)
    config = tiny_config(num_layers=FLAGS.num_layers, window=FLAGS.window)
    synthetic.write_checkpoint(
        output, config, seed=FLAGS.seed, dtype=_DTYPES[FLAGS.dtype], overwrite=FLAGS.overwrite
    )
    if FLAGS.only_token is not None:
        _suppress_all_but(FLAGS.only_token, config.vocab_size, output / "generation_config.json")
    tokenizer = json.dumps(tokenizer_json(config.vocab_size), indent=2, ensure_ascii=False) + "\n"
    atomic_write.write_file(output / "tokenizer.json", tokenizer.encode())
    atomic_write.write_file(output / "chat_template.jinja", CHAT_TEMPLATE.encode())


def _suppress_all_but(token: int, vocabulary: int, path: Path) -> None:
    generation = json.loads(path.read_text())
    generation["suppress_tokens"] = [other for other in range(vocabulary) if other != token]
    data = json.dumps(generation, indent=2).encode() + b"\n"
    atomic_write.write_file(path, data, overwrite=True)


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "The folder to make.", required=True)
    flags.DEFINE_integer("num_layers", 6, "Layers; the last is a full one.", lower_bound=1)
    flags.DEFINE_integer("window", 16, "Window of the sliding layers.", lower_bound=1)
    flags.DEFINE_enum("dtype", "float32", sorted(_DTYPES), "Type of the weights.")
    flags.DEFINE_integer("seed", 0, "Seed of the weights.")
    flags.DEFINE_integer("only_token", None, "Suppress all ids but this one.", lower_bound=0)
    flags.DEFINE_bool("overwrite", False, "Replace the folder, if there is one.")
    main.run(_make_checkpoint)
