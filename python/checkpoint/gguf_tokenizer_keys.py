"""The tokenizer that a GGUF file's tokenizer.* keys describe, checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from python.checkpoint.checkpoint import GgufTokenizer
from python.checkpoint.gguf_metadata import StringArray
from python.console.errors import FormatError

_PREFIX = "tokenizer.ggml."


def tokenizer_of(metadata: Mapping[str, Any], path: Path) -> GgufTokenizer | None:
    """None where the file has no tokenizer. Raises FormatError for one that contradicts itself."""
    get = {key.removeprefix(_PREFIX): value for key, value in metadata.items()}.get
    tokens = get("tokens")
    if tokens is None:
        return None
    scores, kinds, merges = get("scores"), get("token_type"), get("merges", ())
    if not isinstance(tokens, StringArray) or not isinstance(merges, StringArray | tuple):
        raise FormatError(path, f"{_PREFIX}tokens and merges must be arrays of strings")
    for key, value in (("scores", scores), ("token_type", kinds)):
        if value is not None and (not isinstance(value, np.ndarray) or len(value) != len(tokens)):
            raise FormatError(
                path, f"{_PREFIX}{key} must have a number for each of the {len(tokens)} tokens"
            )

    def token_id(key: str) -> int:
        value = get(key)
        if type(value) is not int or not 0 <= value < len(tokens):
            raise FormatError(
                path, f"{_PREFIX}{key} is {value!r:.40}, not an id of the {len(tokens)} tokens"
            )
        return value

    return GgufTokenizer(
        model=str(get("model")),
        tokens=tokens.to_list(),
        scores=[] if scores is None else scores.tolist(),
        kinds=[1] * len(tokens) if kinds is None else kinds.tolist(),
        merges=merges.to_list() if isinstance(merges, StringArray) else [],
        bos_id=token_id("bos_token_id"),
        unknown_id=None if get("unknown_token_id") is None else token_id("unknown_token_id"),
        add_bos=bool(get("add_bos_token", True)),
        add_space_prefix=bool(get("add_space_prefix", False)),
        chat_template=_chat_template(metadata, path),
    )


def _chat_template(metadata: Mapping[str, Any], path: Path) -> str | None:
    text = metadata.get("tokenizer.chat_template")
    if text is not None and not isinstance(text, str):
        raise FormatError(path, "tokenizer.chat_template is not a string")
    return text
