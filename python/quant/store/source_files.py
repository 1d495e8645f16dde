"""What a quantized folder takes over from its source beside the weights.

The source is a Hugging Face folder, or a GGUF in plain numbers. A GGUF has its config and tokenizer
in its metadata: the folder gets the config in transformers' words, and the tokenizer as the GGUF's
own keys in a file without tensors, which the readers of this repository understand.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from python.artifact import sha256
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.config_hf_json import generation_json
from python.checkpoint.gguf_checkpoint import GgufCheckpoint
from python.checkpoint.hugging_face_checkpoint import (
    CONFIG_NAME,
    TOKENIZER_GGUF,
    HuggingFaceCheckpoint,
)
from python.checkpoint.safetensors_reader import INDEX_NAME

GENERATION_NAME = "generation_config.json"
_COPIED = (
    GENERATION_NAME,
    "tokenizer.json",
    "tokenizer_config.json",
    TOKENIZER_GGUF,
    "chat_template.jinja",
)


def files_of(checkpoint: Checkpoint) -> list[Path]:
    """Every file that the folder's bytes depend on."""
    if not checkpoint.path.is_dir():
        return list(checkpoint.files)
    beside = [checkpoint.path / name for name in (CONFIG_NAME, INDEX_NAME, *_COPIED)]
    return [*checkpoint.files, *(path for path in beside if path.is_file())]


def config_json_of(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """The source's config.json; None for a GGUF, which has none."""
    return checkpoint.config_json if isinstance(checkpoint, HuggingFaceCheckpoint) else None


def config_sha256(checkpoint: Checkpoint) -> str:
    """Of config.json, or of a GGUF's metadata."""
    if isinstance(checkpoint, GgufCheckpoint):
        return hashlib.sha256(checkpoint.metadata_alone()).hexdigest()
    return sha256.sha256_of_file(checkpoint.path / CONFIG_NAME)


def take_over(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes the tokenizer and what the source says of generation."""
    if isinstance(checkpoint, GgufCheckpoint):
        generation = generation_json(checkpoint.generation)
        (folder / GENERATION_NAME).write_text(json.dumps(generation, indent=2) + "\n")
        if checkpoint.tokenizer is not None:
            (folder / TOKENIZER_GGUF).write_bytes(checkpoint.metadata_alone())
        return
    for name in _COPIED:
        if (checkpoint.path / name).is_file():
            shutil.copyfile(checkpoint.path / name, folder / name)
