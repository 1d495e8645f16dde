"""Which chat template a checkpoint has, known by what it does.

A template is a program, and its bytes differ from copy to copy (comments, spelling). So it is run on
conversations that tell the editions apart, and named where every prompt is the one that our own
rendition of an edition gives (templates/*.jinja; cc/text renders the same in C++). What behaves like
none of them gets no name: nothing is rendered by a template that is almost right.

What must stay true: PROBES reach every branch by which the editions and their common variants
differ. The checkpoint's text is untrusted: it runs in Jinja's sandbox.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_BYTES = 1 << 20
_FOLDER = Path(__file__).parent / "templates"
# By the manifest's name: the file of our rendition and its `edition`.
_EDITIONS = {
    "gemma4": ("gemma4.jinja", "july"),
    "gemma4_april": ("gemma4.jinja", "april"),
    "gemma3": ("gemma3.jinja", ""),
}
NAMES = tuple(_EDITIONS)

Conversation = Mapping[str, Any]  # the variables of a template, but bos_token


def _call(call_id: str, name: str, arguments: dict[str, Any] | None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


_USER = {"role": "user", "content": " Hi \n"}
_ANSWER = {"role": "assistant", "content": "a<|channel>thought\nb<channel|>c", "reasoning": "why"}
_RESULT = {"role": "tool", "tool_call_id": "1", "content": "ok"}
_CALL = {
    "role": "assistant",
    "content": "",
    "reasoning": "hm",
    "tool_calls": [
        _call("1", "f", {"b": None, "A": [1, 2.5, True], "c": {"d e": "x", "f": {}}}),
        _call("2", "g", None),
    ],
}
_SCHEMA = {
    "type": "object",
    "required": ["type", "o"],
    "properties": {
        "type": {"type": "string", "description": "a", "enum": ["x", "y"]},
        "o": {
            "type": "object",
            "required": ["p"],
            "nullable": True,
            "properties": {"p": {"type": ["integer", "null"]}},
        },
        "list": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"q": {"type": "number"}},
                "required": ["q"],
                "minItems": 1,
            },
        },
        "bare": {"type": "object", "extra": {"type": "string"}, "additionalProperties": False},
    },
}
_TOOLS = [
    {"type": "function", "function": {"name": "f", "description": "d", "parameters": _SCHEMA}},
    {"type": "function", "function": {"name": "g", "description": ""}},
]
_SYSTEM = {"role": "system", "content": " S "}

# Messages, and whether there are tools. Those of PLAIN have words in every Gemma template.
PLAIN: tuple[list[dict[str, Any]], ...] = (
    [_USER],
    [_SYSTEM, _USER],
    [_USER, _ANSWER, _USER],
    [_SYSTEM, _USER, _ANSWER, _USER, _ANSWER],
)
PROBES: tuple[list[dict[str, Any]], ...] = (
    *PLAIN,
    [_USER, _ANSWER],
    [_USER, _ANSWER, _ANSWER, _USER],
    [_USER, _USER, {"role": "system", "content": "later"}],
    [_USER, _CALL],
    [_USER, _CALL, _RESULT],
    [_USER, _CALL, _RESULT, {**_RESULT, "tool_call_id": "2"}, _ANSWER, _USER],
    [_USER, _CALL, _RESULT, _CALL, {**_RESULT, "tool_call_id": "3", "name": "h"}],
    [_USER, {**_CALL, "content": "text"}, _RESULT],
    [_USER, {**_CALL, "content": "text"}, _RESULT, _USER, _ANSWER],
)


# What a template's own mistakes raise.
_FAILURES = (
    *(jinja2.TemplateError, ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)


class TemplateError(Exception):
    """The template has no words for a conversation, or is no template."""


def render(template: str, conversation: Conversation) -> str:
    """What a template makes of a conversation. Raises TemplateError."""
    try:
        return _compiled(template).render({**conversation, "bos_token": "<bos>"})
    except _FAILURES as error:
        raise TemplateError(str(error)) from None


def source(name: str) -> str:
    """Our rendition of an edition, as a template that a checkpoint could have."""
    file, edition = _EDITIONS[name]
    return f"{{%- set edition = {edition!r} -%}}" + _text(file)


def render_as(name: str, conversation: Conversation) -> str:
    """What the edition of this name makes of a conversation. Raises TemplateError."""
    return render(source(name), conversation)


def identify(template: str) -> str | None:
    """The name of the edition that a checkpoint's template is one with; None: of none."""
    if len(template.encode()) > MAX_BYTES:
        return None
    return next((name for name in NAMES if _behaves_as(template, name)), None)


def _behaves_as(template: str, name: str) -> bool:
    for conversation in _conversations(PLAIN if name == "gemma3" else PROBES, name):
        try:
            expected = render_as(name, conversation)
        except TemplateError:
            continue
        try:
            if render(template, conversation) != expected:
                return False
        except TemplateError:
            return False
    return True


def _conversations(probes: tuple[list[dict[str, Any]], ...], name: str) -> list[Conversation]:
    choices = [(False, None)] if name == "gemma3" else [(False, None), (True, None), (True, _TOOLS)]
    return [
        {
            "messages": messages,
            "tools": tools,
            "enable_thinking": thinking,
            "add_generation_prompt": opens,
        }
        for messages in probes
        for thinking, tools in choices
        for opens in (False, True)
    ]


@functools.lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


@functools.cache
def _environment() -> jinja2.Environment:
    # As transformers renders chat templates (utils/chat_template_utils.py).
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals["raise_exception"] = _raise
    return environment


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


@functools.cache
def _text(file: str) -> str:
    return (_FOLDER / file).read_text(encoding="utf-8")
