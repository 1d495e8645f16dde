"""Conversations as the token sequences that calibration runs on.

An instruction-tuned model sees turns, with the marks between them as single tokens; a plain text
never has those. So conversations are rendered by the checkpoint's own chat template, in the sandbox
that transformers uses for it, and what spells a special token there becomes one.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox
import torch

from python.checkpoint.checkpoint import TokenizerSource
from python.console.errors import UserError
from python.quant.calibration.calibration_text import (
    MAX_TOKENS,
    CalibrationText,
    read_bytes,
)
from python.text.text_tokenizer import tokenizer_of

SEQUENCE_TOKENS = 2048  # twice a window of the 31B, so that sliding layers slide


def read_calibration_chats(
    path: Path, source: TokenizerSource | None, bos_id: int | None, max_tokens: int = MAX_TOKENS
) -> CalibrationText:
    """The beginning of a JSONL file, a conversation {"messages": [{"role", "content"}]} a line.

    Sequences have 2,048 tokens, or as many as `max_tokens` allows; each begins with a conversation
    and is filled with those that follow. Raises UserError for a file that is missing, damaged, too
    large or too short, and for a checkpoint without a tokenizer or a chat template.
    """
    data = read_bytes(path, "file of calibration chats")
    tokenizer = tokenizer_of(source)
    if source is None or source.chat_template is None:
        raise UserError(f"{path}: the checkpoint has no chat template (use --calibration_text)")
    bos = "" if bos_id is None else tokenizer.piece(bos_id)
    render = _template(source.chat_template)
    length = min(SEQUENCE_TOKENS, max_tokens)
    chats = (
        tokenizer.encode_marked(_render(render, messages, bos, f"{path} line {number}"))
        for number, messages in _conversations(data, path)
    )
    tokens = packed(chats, length, max_tokens // length)
    if tokens.shape[0] == 0:
        raise UserError(f"{path} does not fill a sequence of {length} tokens; add conversations")
    return CalibrationText(tokens=tokens, sha256=hashlib.sha256(data).hexdigest())


def packed(chats: Iterator[list[int]], length: int, count: int) -> torch.Tensor:
    """int64 [sequences, length]: each begins with a chat, the last chat of each is cut."""
    rows: list[list[int]] = []
    row: list[int] = []
    for chat in chats:
        if len(rows) == count:
            break
        row += chat
        if len(row) >= length:
            rows.append(row[:length])
            row = []
    return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), length)


def _conversations(data: bytes, path: Path) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The number of a line and its messages; empty lines are left out."""
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path} line {number} is no JSON ({error})") from None
        messages = value.get("messages") if isinstance(value, dict) else None
        if (
            not isinstance(messages, list)
            or not messages
            or not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages)
        ):
            raise UserError(
                f'{path} line {number} is no conversation (use {{"messages": [{{"role": "user",'
                ' "content": "..."}, ...]})'
            )
        yield number, messages


def _template(text: str) -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise_exception
    try:
        return environment.from_string(text)
    except jinja2.TemplateError as error:
        raise UserError(f"the checkpoint's chat template is damaged ({error})") from None


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _render(template: jinja2.Template, messages: list[dict[str, Any]], bos: str, where: str) -> str:
    try:
        return template.render(messages=messages, bos_token=bos, add_generation_prompt=False)
    except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{where}: the chat template refuses it ({error})") from None
