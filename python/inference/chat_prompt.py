"""The prompt of one question: a user's message in the model's turn template.

Whole conversations are the C++ runner's business (cc/text/chat_template). Invariant: BOS comes
once, first, and markers are special tokens whatever the message says.
"""

from __future__ import annotations

from python.console.errors import UserError
from python.text.text_tokenizer import TextTokenizer

_BOS = "<bos>"
# Special tokens and text in turn; the message stands where "{}" is.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    # The thought channel is opened and closed at once: no thinking.
    "gemma4": (
        *(_BOS, "<|turn>", "user\n{}", "<turn|>", "\n", "<|turn>", "model\n"),
        *("<|channel>", "thought\n", "<channel|>"),
    ),
    "gemma3": (
        *(_BOS, "<start_of_turn>", "user\n{}", "<end_of_turn>", "\n"),
        *("<start_of_turn>", "model\n"),
    ),
}


def raw_prompt(text: str, tokenizer: TextTokenizer, bos_id: int | None) -> list[int]:
    """`text` as it is, after BOS."""
    return ([] if bos_id is None else [bos_id]) + tokenizer.encode(text)


def chat_prompt(message: str, tokenizer: TextTokenizer, template: str | None) -> list[int]:
    """One user message and the opening of the model's turn."""
    if template not in _TEMPLATES:
        raise UserError("the checkpoint has no chat template (use --raw to continue plain text)")
    tokens: list[int] = []
    for part in _TEMPLATES[template]:
        if part.startswith("<"):
            tokens.append(tokenizer.special(part))
        else:
            tokens += tokenizer.encode(part.replace("{}", message.strip()))
    return tokens
