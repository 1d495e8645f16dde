"""Answers that are held to a form, by the official clients.

The model writes prose, whatever is asked of it: only the mask on its tokens makes JSON and calls.
An answer that a form has changed does not end where the model's did, so each has a server alone.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import jsonschema
import openai
import pytest

from tests.server.served import MODEL, Served, fake_server

SCHEMA = {
    "type": "object",
    "properties": {
        "ok": {"type": "boolean"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "colour": {"enum": ["red", "green"]},
    },
    "required": ["ok", "count", "colour"],
    "additionalProperties": False,
}
JSON_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "s", "schema": SCHEMA, "strict": True},
}
UNSUPPORTED = {"type": "array", "uniqueItems": True}
PROSE = "Sure! Here is what you asked for."
THOUGHT = "<|channel>thought\nI {think}<channel|>"
PAINT: Any = {
    "type": "function",
    "function": {"name": "paint", "description": "Paints.", "parameters": SCHEMA},
}
WAIT: Any = {"type": "function", "function": {"name": "wait"}}


def openai_of(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)


def anthropic_of(served: Served) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0, timeout=60)


def say(served: Served, **fields: Any) -> Any:
    return openai_of(served).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "a"}], **fields
    )


def valid(text: str) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(text))


@pytest.mark.parametrize("thinking", [False, True])
def test_a_schema_is_enforced(thinking: bool) -> None:
    effort: Any = {"reasoning_effort": "high"} if thinking else {}
    said = (THOUGHT if thinking else "") + PROSE
    with fake_server(said) as served:
        answer = say(served, response_format=JSON_SCHEMA, logprobs=True, **effort).choices[0]
        assert answer.finish_reason == "stop" and valid(answer.message.content)
        spelled = b"".join(bytes(entry.bytes) for entry in answer.logprobs.content)
        assert spelled.decode() == answer.message.content
    with fake_server(said) as served:
        chunks = list(say(served, response_format=JSON_SCHEMA, stream=True, **effort))
        deltas = [chunk.choices[0].delta for chunk in chunks]
        assert valid("".join(delta.content or "" for delta in deltas))
        thoughts = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        assert thoughts == ("I {think}" if thinking else "")


def test_what_the_schema_allows_is_left_as_it_is() -> None:
    wanted = '{"ok": true, "count": 7, "colour": "red"}'
    with fake_server(wanted) as served:
        assert say(served, response_format=JSON_SCHEMA).choices[0].message.content == wanted


def test_json_mode_is_one_object() -> None:
    with fake_server('Sure {"a": [1, "b"]} there') as served:
        answer = say(served, response_format={"type": "json_object"}).choices[0]
        assert answer.finish_reason in ("stop", "length")
        if answer.finish_reason == "stop":
            assert isinstance(json.loads(answer.message.content), dict)
    with fake_server('{"a": [1, "b"]} there') as served:
        answer = say(served, response_format={"type": "json_object"}).choices[0]
        assert answer.message.content == '{"a": [1, "b"]}' and answer.finish_reason == "stop"


def test_stop_and_max_tokens_end_a_form_early_and_say_so() -> None:
    wanted = '{"ok": true, "count": 7, "colour": "red"}'
    with fake_server(wanted) as served:
        stopped = say(served, response_format=JSON_SCHEMA, stop=["count"]).choices[0]
        assert stopped.message.content == '{"ok": true, "'
    with fake_server(wanted) as served:
        cut = say(served, response_format=JSON_SCHEMA, max_tokens=5).choices[0]
        assert (cut.finish_reason, cut.message.content) == ("length", wanted[:5])


def test_several_choices_have_a_form_each() -> None:
    with fake_server(PROSE, PROSE, PROSE) as served:
        answer = say(served, response_format=JSON_SCHEMA, n=3, seed=1)
        assert all(valid(choice.message.content) for choice in answer.choices)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "paint"}}]
)
def test_a_call_is_enforced_and_its_result_goes_back(choice: Any) -> None:
    with fake_server(PROSE) as served:
        answer = say(served, tools=[PAINT], tool_choice=choice, parallel_tool_calls=False)
        message = answer.choices[0].message
        assert answer.choices[0].finish_reason == "tool_calls"
        (call,) = message.tool_calls
        assert call.function.name == "paint" and valid(call.function.arguments)
    with fake_server("Done.") as served:
        again = openai_of(served).chat.completions.create(
            model=MODEL,
            tools=[PAINT],
            messages=[
                {"role": "user", "content": "a"},
                message.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": call.id, "content": "painted"},
            ],
        )
        assert again.choices[0].message.content == "Done."


def test_a_call_streams_by_deltas_of_its_arguments() -> None:
    with fake_server(THOUGHT + PROSE) as served:
        chunks = list(
            say(served, tools=[PAINT], tool_choice="required", stream=True,
                parallel_tool_calls=False, reasoning_effort="low")
        )  # fmt: skip
        deltas = [delta for chunk in chunks for delta in chunk.choices[0].delta.tool_calls or []]
        assert deltas[0].function.name == "paint" and deltas[0].id
        arguments = [delta.function.arguments for delta in deltas if delta.function.arguments]
        assert len(arguments) > 3 and valid("".join(arguments))
        assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_tools_that_may_be_called() -> None:
    call = '<|tool_call>call:paint{colour:<|"|>blue<|"|>}<tool_call|>'
    strict = {**PAINT, "function": {**PAINT["function"], "strict": True}}
    with fake_server(call) as served:
        plain = say(served, tools=[PAINT, WAIT]).choices[0].message.tool_calls
        assert plain[0].function.arguments == '{"colour":"blue"}'  # not enforced
    with fake_server(call) as served:
        enforced = say(served, tools=[strict, WAIT]).choices[0].message.tool_calls
        assert valid(enforced[0].function.arguments)
    with fake_server(call + call) as served:
        one = say(served, tools=[PAINT, WAIT], parallel_tool_calls=False).choices[0].message
        assert len(one.tool_calls) == 1
    with fake_server("Hi " + call) as served:
        none = say(served, tools=[PAINT], tool_choice="none", max_tokens=20).choices[0].message
        assert none.tool_calls is None and none.content.startswith("Hi ")


def test_responses() -> None:
    text: Any = {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}}
    with fake_server(PROSE) as served:
        answer = openai_of(served).responses.create(model=MODEL, input="a", text=text)
        assert valid(answer.output_text)
    tool: Any = {"type": "function", "name": "paint", "parameters": SCHEMA, "strict": True}
    with fake_server(PROSE) as served:
        answer = openai_of(served).responses.create(
            model=MODEL, input="a", tools=[tool], tool_choice="required", parallel_tool_calls=False
        )
        (item,) = [item for item in answer.output if item.type == "function_call"]
        assert item.name == "paint" and valid(item.arguments)
        text["format"]["schema"] = UNSUPPORTED
        with pytest.raises(openai.BadRequestError, match="uniqueItems") as wrong:
            openai_of(served).responses.create(model=MODEL, input="a", text=text)
        assert wrong.value.param == "text.format"


FIRST: Any = {"role": "user", "content": "a"}
TOOL: Any = {"name": "paint", "input_schema": SCHEMA}


def test_messages_have_a_schema() -> None:
    config: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    with fake_server(PROSE) as served:
        answer = anthropic_of(served).messages.create(
            model=MODEL, max_tokens=500, messages=[FIRST], output_config=config
        )
        assert valid(answer.content[0].text)  # type: ignore[union-attr]


def test_messages_stream_a_call_whose_result_goes_back() -> None:
    choice: Any = {"type": "tool", "name": "paint"}
    asked: dict[str, Any] = {"model": MODEL, "max_tokens": 500, "tools": [TOOL]}
    with (
        fake_server(PROSE) as served,
        anthropic_of(served).messages.stream(
            messages=[FIRST], tool_choice=choice, **asked
        ) as stream,
    ):
        parts = [event.type for event in stream]
        (block,) = stream.get_final_message().content
    assert block.type == "tool_use" and valid(json.dumps(block.input))
    assert parts.count("input_json") > 3
    result: Any = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "painted"}],
    }
    called: Any = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}],
    }
    with fake_server("Done.") as served:
        answer = anthropic_of(served).messages.create(messages=[FIRST, called, result], **asked)
        assert answer.content[0].text == "Done."


def test_messages_think_before_a_call() -> None:
    any_tool: Any = {"type": "any", "disable_parallel_tool_use": True}
    thinking: Any = {"type": "adaptive"}
    with fake_server(THOUGHT + PROSE) as served:
        answer = anthropic_of(served).messages.create(
            model=MODEL, max_tokens=500, messages=[FIRST], tools=[TOOL], tool_choice=any_tool,
            thinking=thinking,
        )  # fmt: skip
        assert [block.type for block in answer.content] == ["thinking", "tool_use"]
        assert answer.stop_reason == "tool_use"


def test_what_cannot_be_enforced_is_refused_by_its_name() -> None:
    unsupported = {"type": "json_schema", "json_schema": {"name": "s", "schema": UNSUPPORTED}}
    with fake_server() as served:
        with pytest.raises(openai.BadRequestError, match='"uniqueItems" is not supported') as wrong:
            say(served, response_format=unsupported)
        assert wrong.value.param == "response_format"
        tool = {"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "properties": {"a": UNSUPPORTED}}}}  # fmt: skip
        with pytest.raises(openai.BadRequestError, match=r"tool f: .*uniqueItems") as wrong:
            say(served, tools=[tool], tool_choice="required")
        assert wrong.value.param == "tool_choice"
        assert say(served, tools=[tool]).choices  # may be called: its schema is only shown
        tool["function"]["strict"] = True  # type: ignore[index]
        with pytest.raises(openai.BadRequestError, match="uniqueItems") as wrong:
            say(served, tools=[tool])
        assert wrong.value.param == "tools"


def test_a_client_that_leaves_frees_its_slot() -> None:
    with fake_server("{" * 200, delay_ms=20, slots=1, queue=4) as served:
        stream = say(served, response_format=JSON_SCHEMA, stream=True)
        next(iter(stream))
        stream.close()
        answer = say(served, response_format=JSON_SCHEMA, max_tokens=3)
        assert answer.choices[0].finish_reason == "length"
        assert served.metric("gemma_answers_left_total") == 1
