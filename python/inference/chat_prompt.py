"""The prompt of one question: a user's message in the model's turn template.

Whole conversations are the C++ runner's business (cc/text/chat_template). Invariant: BOS comes
once, first, and markers are special tokens whatever the message says.
"""

from __future__ import annotations

import re

from python.console.errors import UserError
from python.text import chat_templates
from python.text.text_tokenizer import TextTokenizer

_MESSAGE = "\ue000"  # stands for the message while the template is rendered
_SPECIAL = re.compile(r"(<[^<>\s]+>)")


def raw_prompt(text: str, tokenizer: TextTokenizer, bos_id: int | None) -> list[int]:
    """`text` as it is, after BOS."""
    return ([] if bos_id is None else [bos_id]) + tokenizer.encode(text)


def chat_prompt(message: str, tokenizer: TextTokenizer, template: str | None) -> list[int]:
    """One user message and the opening of the model's turn."""
    if template not in chat_templates.NAMES:
        raise UserError("the checkpoint has no chat template (use --raw to continue plain text)")
    turn = {"messages": [{"role": "user", "content": _MESSAGE}], "add_generation_prompt": True}
    tokens: list[int] = []
    for part in _SPECIAL.split(chat_templates.render_as(template, turn)):
        if _SPECIAL.fullmatch(part):
            tokens.append(tokenizer.special(part))
        elif part:
            tokens += tokenizer.encode(part.replace(_MESSAGE, message.strip()))
    return tokens
