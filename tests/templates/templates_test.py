"""Our renderers of chat templates against transformers' own Jinja, on random conversations.

The template of April 2026 is the one that llama.cpp ships as google-gemma-4-31B-it.jinja.
The template of July 2026 is that one with the changes below, in our words:
its bytes come with the checkpoint alone.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import _compile_jinja_template

from python.text import chat_templates
from tests.templates.conversations import Generator

CONVERSATIONS = 200

# What July changed, each as (what April has, how often, what stands there instead).
_JULY = (
    # A property may be called "type" or "description".
    (
        "format_parameters(properties, required) -%}",
        1,
        "format_parameters(properties, required, filter_keys=false) -%}",
    ),
    ("if key not in standard_keys", 1, "if not filter_keys or key not in standard_keys"),
    (
        "format_parameters(value, value['required'] | default([]))",
        1,
        "format_parameters(value, value['required'] | default([]), filter_keys=true)",
    ),
    # null is null.
    (
        "{%- if argument is string -%}",
        1,
        "{%- if argument is none -%}{{- 'null' -}}{%- elif argument is string -%}",
    ),
    # Thoughts are kept also where no call follows.
    ("last_user_idx and message.get('tool_calls') -%}", 1, "last_user_idx -%}"),
    ("follow.get('name') | default('unknown')", 1, "follow.get('name') or 'unknown'"),
    # A turn is closed once, where its last message ends.
    (
        "{%- if ns.prev_message_type == 'tool_call' and not ns_tr_out.flag -%}",
        1,
        """{%- set after = namespace(role=none) -%}
        {%- for later in loop_messages[loop.index:] if after.role is none -%}
            {%- if later['role'] != 'tool' and after.role is none -%}
                {%- set after.role = later['role'] -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set spoken = strip_thinking(message['content']) if role == 'model'
                         else message['content'] | trim -%}
        {%- if ns.prev_message_type == 'tool_call' and not ns_tr_out.flag -%}""",
    ),
    (
        "{%- elif not (ns_tr_out.flag and not message.get('content')) -%}",
        1,
        """{%- elif role == 'model' and after.role == 'assistant' -%}
        {%- elif not (ns_tr_out.flag and not spoken and after.role is none) -%}""",
    ),
    # After a result a model that thinks goes on thinking.
    (
        "            {{- '<|channel>thought\\n<channel|>' -}}\n        {%- endif -%}\n",
        1,
        """            {{- '<|channel>thought\\n<channel|>' -}}
        {%- endif -%}
    {%- elif ns.prev_message_type == 'tool_response' and enable_thinking -%}
        {{- '<|channel>thought\\n' -}}
""",
    ),
)

_GEMMA3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n'
       + (first_user_prefix if loop.first else "") + message['content'] | trim
       + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
"""


def runfile(variable: str) -> Path:
    """The file of this test's that an environment variable names."""
    return Path(os.environ.get("TEST_SRCDIR", ""), os.environ[variable])


def april() -> str:
    """Google's template of 28 April 2026."""
    return runfile("APRIL").read_text(encoding="utf-8")


def july() -> str:
    """Google's template of 15 July 2026, in what it does."""
    text = april()
    for old, count, new in _JULY:
        assert text.count(old) == count, old
        text = text.replace(old, new)
    return text


def jinja(template: str, line: dict[str, Any]) -> str:
    """What transformers makes of a conversation."""
    return str(
        _compile_jinja_template(template).render(
            messages=line["messages"],
            tools=line["tools"] or None,
            enable_thinking=line["thinking"],
            add_generation_prompt=line["add_generation_prompt"],
            bos_token="<bos>",
        )
    )


def render(name: str, lines: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What the C++ renderer makes of conversations."""
    data = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(
        [str(runfile("RENDER")), name], input=data.encode(), capture_output=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("edition", ["gemma4", "gemma4_april"])
def test_conversations_equal_jinja(edition: str) -> None:
    template = july() if edition == "gemma4" else april()
    generator = Generator(seed=1)
    lines = [generator.conversation() for _ in range(CONVERSATIONS)]
    rendered = render(edition, lines)
    calls = sum("tool_calls" in message for line in lines for message in line["messages"])
    tools = sum(bool(line["tools"]) for line in lines)
    assert calls > 50 and tools > 50
    for line, ours in zip(lines, rendered, strict=True):
        assert ours.get("text") == jinja(template, line), json.dumps(line, ensure_ascii=False)
    print(f"{edition}: {len(lines)} conversations, {calls} with calls, {tools} with tools: equal")


def test_the_editions_differ() -> None:
    generator = Generator(seed=1)
    lines = [generator.conversation() for _ in range(CONVERSATIONS)]
    assert sum(jinja(july(), line) != jinja(april(), line) for line in lines) > 20


def test_the_editions_are_known_by_what_they_do() -> None:
    assert chat_templates.identify(april()) == "gemma4_april"
    assert chat_templates.identify(july()) == "gemma4"
    assert chat_templates.identify(_GEMMA3) == "gemma3"


@pytest.mark.parametrize("edition", ["gemma4", "gemma4_april"])
def test_our_rendition_equals_the_edition(edition: str) -> None:
    template = july() if edition == "gemma4" else april()
    generator = Generator(seed=3)
    for _ in range(CONVERSATIONS):
        line = generator.conversation()
        assert jinja(chat_templates.source(edition), line) == jinja(template, line), line


def test_gemma3_equals_jinja() -> None:
    generator = Generator(seed=2)
    lines = [generator.turns() for _ in range(CONVERSATIONS)]
    for line, ours in zip(lines, render("gemma3", lines), strict=True):
        assert ours.get("text") == jinja(_GEMMA3, line), line


def test_what_has_no_words_is_refused() -> None:
    user = {"role": "user", "content": "Hi"}
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    orphan = {"role": "tool", "content": "x"}
    rest = {"tools": [], "thinking": False, "add_generation_prompt": True}
    lines = [{"messages": [user, bad], **rest} for bad in (image, orphan, {"role": "nurse"})]
    errors = [answer["error"] for answer in render("gemma4", lines)]
    assert "a part of the type image_url cannot be read" in errors[0]
    assert "no message with a tool call comes before it" in errors[1]
    assert 'role "nurse" is not known' in errors[2]
