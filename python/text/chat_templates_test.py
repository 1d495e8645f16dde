"""Tests of chat_templates: what each edition does, and that a template is known by it."""

import pytest

from python.text import chat_templates
from python.text.chat_templates import (
    NAMES,
    TemplateError,
    identify,
    render,
    render_as,
    source,
)

HI = {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True}


def test_one_message() -> None:
    assert render_as("gemma4", HI) == (
        "<bos><|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"
    )
    assert render_as("gemma4", {**HI, "enable_thinking": True}) == (
        "<bos><|turn>system\n<|think|>\n<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n"
    )
    assert render_as("gemma3", HI) == (
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_known_by_what_it_does(name: str) -> None:
    assert identify(source(name)) == name
    assert identify("{#- another spelling -#}" + source(name)) == name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The smaller models' template opens no empty thought.
        ("'<|channel>thought\\n<channel|>') }}", "'') }}"),
        # A copy that ends a message which goes on by a line feed.
        ("{{ '' if goes_on or awaits_answer else '<turn|>\\n' }}",
         "{{ '\\n' if goes_on else '' if awaits_answer else '<turn|>\\n' }}"),
        ("| trim", "| trim | upper"),
        ("<|tool_response>response:", "<|tool_response>reply:"),
        ("index > at.last_user and", ""),
        ("'null' if edition == 'july' else 'None'", "'None'"),
        ("later.get('name') or 'unknown'", "'unknown'"),
    ],
)  # fmt: skip
def test_what_differs_anywhere_has_no_name(old: str, new: str) -> None:
    text = source("gemma4")
    assert old in text
    assert identify(text.replace(old, new)) is None


def test_other_templates_have_no_name() -> None:
    assert identify("{{ messages[0].content }}") is None
    assert identify("{% for") is None
    assert identify("{{ 1 // 0 }}") is None
    assert identify("{{ raise_exception('no') }}") is None
    assert identify("{{ ''.__class__.__mro__ }}") is None
    assert identify("x" * (chat_templates.MAX_BYTES + 1)) is None


def test_what_a_template_refuses_is_one_sentence() -> None:
    with pytest.raises(TemplateError, match="must take turns"):
        render_as("gemma3", {"messages": [{"role": "assistant", "content": "x"}]})
    with pytest.raises(TemplateError):
        render("{{ ().__class__.__base__.__subclasses__() }}", HI)
