"""The official `openai` client against a server whose model says what the test has written down."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest

from tests.server.served import MODEL, Served, chat, events, fake_server


def client_of(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)


def say(client: openai.OpenAI, content: str = "a", **fields: Any) -> Any:
    return client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}], **fields
    )


def test_chat() -> None:
    with fake_server("Hello \N{SNOWMAN}!") as served:
        answer = say(client_of(served))
        assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
        assert answer.model == MODEL
        choice = answer.choices[0]
        assert (choice.message.role, choice.message.content) == ("assistant", "Hello \N{SNOWMAN}!")
        assert choice.finish_reason == "stop"
        assert choice.message.tool_calls is None and choice.logprobs is None
        usage = answer.usage
        assert usage.completion_tokens == len("Hello \N{SNOWMAN}!".encode())
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        assert usage.prompt_tokens_details.cached_tokens == 0


def test_chat_streams_whole_characters() -> None:
    with fake_server("Hi \N{SNOWMAN}", "again") as served:
        client = client_of(served)
        chunks = list(say(client, stream=True, stream_options={"include_usage": True}))
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert deltas[0].role == "assistant"
        assert [d.content for d in deltas if d.content] == ["H", "i", " ", "\N{SNOWMAN}"]
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 6
        assert all(chunk.usage is None for chunk in chunks[:-1])
        assert len({chunk.id for chunk in chunks}) == 1
        raw = served.post("/v1/chat/completions", chat(stream=True))
        assert raw.headers["content-type"].startswith("text/event-stream")
        assert events(raw.body)[-1] == "[DONE]"


def test_thoughts_are_apart_from_the_answer() -> None:
    thinking = "<|channel>thought\nhm<channel|>Yes"
    with fake_server(thinking, thinking) as served:
        client = client_of(served)
        answer = say(client, reasoning_effort="high")
        assert answer.choices[0].message.content == "Yes"
        assert answer.choices[0].message.reasoning_content == "hm"
        details = answer.usage.completion_tokens_details
        assert details.reasoning_tokens == answer.usage.completion_tokens - 3
        chunks = list(say(client, reasoning_effort="high", stream=True))
        deltas = [chunk.choices[0].delta for chunk in chunks]
        thoughts = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
        assert thoughts == "hm"
        assert "".join(d.content or "" for d in deltas) == "Yes"


def test_stop_strings_end_the_answer_and_do_not_show() -> None:
    with fake_server("one STOP two", "one STOP two") as served:
        client = client_of(served)
        answer = say(client, stop=["STOP"])
        assert answer.choices[0].message.content == "one "
        assert answer.choices[0].finish_reason == "stop"
    with fake_server("one STOP two") as served:
        chunks = list(say(client_of(served), stop="STOP", stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "one "


def test_max_tokens_ends_the_answer() -> None:
    with fake_server("abcdef", "abcdef") as served:
        client = client_of(served)
        answer = say(client, max_tokens=2)
        assert answer.choices[0].message.content == "ab"
        assert answer.choices[0].finish_reason == "length"
        assert say(client, max_completion_tokens=1).usage.completion_tokens == 1


def test_logprobs() -> None:
    with fake_server("ab", "ab") as served:
        client = client_of(served)
        content = say(client, logprobs=True, top_logprobs=3).choices[0].logprobs.content
        assert [entry.token for entry in content] == ["a", "b"]
        assert [entry.bytes for entry in content] == [[97], [98]]
        # The fake model's logits are 10 for the token that it draws, 0 for the others.
        vocabulary = 256 + 14
        expected = 10 - math.log(math.exp(10) + vocabulary - 1)
        for entry in content:
            assert entry.logprob == pytest.approx(expected, abs=1e-5)
            assert len(entry.top_logprobs) == 3
            assert entry.top_logprobs[0].token == entry.token
            assert entry.top_logprobs[1].logprob == pytest.approx(expected - 10, abs=1e-5)
        chunks = list(say(client, logprobs=True, stream=True))
        tokens = [
            entry.token
            for chunk in chunks
            if chunk.choices and chunk.choices[0].logprobs
            for entry in chunk.choices[0].logprobs.content
        ]
        assert tokens == ["a", "b"]


def test_logit_bias_and_penalties_change_what_is_drawn() -> None:
    with fake_server("a" * 20) as served:
        client = client_of(served)
        assert say(client, logit_bias={"112": 100}, max_tokens=3).choices[0].message.content == (
            "bbb"
        )  # 14 special tokens, then bytes
        answer = say(client, frequency_penalty=2, logit_bias={"112": 9}, max_tokens=3)
        assert answer.choices[0].message.content == "aba"


def test_several_choices() -> None:
    with fake_server("one", "two", "three", "four") as served:
        client = client_of(served)
        answer = say(client, n=2)
        assert [c.message.content for c in answer.choices] == ["one", "two"]
        assert [c.index for c in answer.choices] == [0, 1]
        assert answer.usage.completion_tokens == 6
        text = ["", ""]
        for chunk in say(client, n=2, stream=True):
            text[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        assert text == ["three", "four"]


def test_a_second_turn_reports_its_cached_tokens() -> None:
    with fake_server("Hello", "again") as served:
        client = client_of(served)
        messages: list[Any] = [{"role": "user", "content": "Good morning"}]
        first = client.chat.completions.create(model=MODEL, messages=messages)
        messages += [
            {"role": "assistant", "content": first.choices[0].message.content},
            {"role": "user", "content": "And now?"},
        ]
        second = client.chat.completions.create(model=MODEL, messages=messages)
        cached = second.usage.prompt_tokens_details.cached_tokens
        assert 0 < cached < second.usage.prompt_tokens
        assert cached >= len("Good morning")


def test_completions() -> None:
    with fake_server("abc", "abc", "abc", "abc") as served:
        client = client_of(served)
        answer = client.completions.create(model=MODEL, prompt="xy", echo=True)
        assert answer.choices[0].text == "xyabc"
        assert answer.choices[0].finish_reason == "stop"
        answer = client.completions.create(model=MODEL, prompt=[[0, 50, 51]], logprobs=2)
        assert answer.usage.prompt_tokens == 3
        logprobs = answer.choices[0].logprobs
        assert logprobs.tokens == ["a", "b", "c"] and logprobs.text_offset == [0, 1, 2]
        assert len(logprobs.top_logprobs[0]) == 2
        chunks = list(client.completions.create(model=MODEL, prompt="xy", stream=True))
        assert "".join(chunk.choices[0].text for chunk in chunks) == "abc"
        assert chunks[-1].choices[0].finish_reason == "stop"


def test_models() -> None:
    with fake_server(max_seq_len=777) as served:
        client = client_of(served)
        models = list(client.models.list())
        assert [model.id for model in models] == [MODEL]
        assert client.models.retrieve(MODEL).context_length == 777  # type: ignore[attr-defined]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("other")


def test_responses() -> None:
    with fake_server("<|channel>thought\nhm<channel|>Yes", "No", "abc") as served:
        client = client_of(served)
        answer = client.responses.create(
            model=MODEL, input="a", instructions="b", reasoning={"effort": "low"}
        )
        assert answer.status == "completed" and answer.output_text == "Yes"
        assert [item.type for item in answer.output] == ["reasoning", "message"]
        assert answer.output[0].content[0].text == "hm"
        assert answer.usage.output_tokens_details.reasoning_tokens > 0
        again = client.responses.create(
            model=MODEL,
            input=[
                {"role": "user", "content": "a"},
                *[item.model_dump(exclude_none=True) for item in answer.output],
                {"role": "user", "content": [{"type": "input_text", "text": "b"}]},
            ],  # type: ignore[list-item]
        )
        assert again.output_text == "No"
        cut = client.responses.create(model=MODEL, input="a", max_output_tokens=2)
        assert cut.status == "incomplete"
        assert cut.incomplete_details.reason == "max_output_tokens"


def test_responses_stream() -> None:
    with fake_server("<|channel>thought\nhm<channel|>Yes") as served:
        with client_of(served).responses.stream(
            model=MODEL, input="a", reasoning={"effort": "low"}
        ) as stream:
            seen = [event.type for event in stream]
            final = stream.get_final_response()
        assert final.output_text == "Yes" and final.status == "completed"
        assert seen[0] == "response.created" and seen[-1] == "response.completed"
        assert seen.count("response.output_text.delta") == 3
        assert seen.count("response.reasoning_text.delta") == 2
        assert seen.count("response.output_item.done") == 2


def test_errors_are_the_clients_own() -> None:
    with fake_server(max_seq_len=100) as served:
        client = client_of(served)
        with pytest.raises(openai.BadRequestError) as wrong:
            say(client, temperature=-1)
        assert wrong.value.param == "temperature"
        assert wrong.value.body["message"] == (  # type: ignore[index,call-overload]
            "temperature: is -1 (0, which is greedy, and 1e-6 to 1e6 are allowed)"
        )
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "a"}])
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as long:
            say(client, "x" * 200)
        assert long.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError) as much:
            say(client, max_tokens=99)
        assert much.value.code == "context_length_exceeded"
        assert "99 were asked for" in str(much.value)


def test_an_error_of_the_model_is_told_and_the_server_goes_on() -> None:
    with fake_server(fail="the GPU is gone") as served:
        client = client_of(served)
        with pytest.raises(openai.InternalServerError, match="the GPU is gone"):
            say(client)
        with pytest.raises(openai.APIError, match="the GPU is gone"):
            list(say(client, stream=True))
        raw = events(served.post("/v1/chat/completions", chat(stream=True)).body)
        assert raw[-1] == "[DONE]" and raw[-2]["error"]["message"] == "the GPU is gone"
        assert served.get("/health").status == 200
