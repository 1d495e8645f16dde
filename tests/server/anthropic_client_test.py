"""The official `anthropic` client against a server whose model says what the test wrote down."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.server.served import MODEL, Served, fake_server


def client_of(served: Served, key: str = "none") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served.url, api_key=key, max_retries=0, timeout=60)


def say(client: anthropic.Anthropic, content: Any = "a", **fields: Any) -> Any:
    fields.setdefault("max_tokens", 100)
    return client.messages.create(
        model=MODEL, messages=[{"role": "user", "content": content}], **fields
    )


def test_messages() -> None:
    with fake_server("Hello") as served:
        answer = say(client_of(served), system="Be brief.")
        assert (answer.type, answer.role, answer.model) == ("message", "assistant", MODEL)
        assert [(block.type, block.text) for block in answer.content] == [("text", "Hello")]
        assert answer.stop_reason == "end_turn" and answer.stop_sequence is None
        assert answer.usage.output_tokens == 5
        assert answer.usage.cache_read_input_tokens == 0


def test_thinking_blocks_come_and_may_go_back() -> None:
    with fake_server("<|channel>thought\nhm<channel|>Yes", "No") as served:
        client = client_of(served)
        answer = say(client, thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=200)
        assert [block.type for block in answer.content] == ["thinking", "text"]
        assert answer.content[0].thinking == "hm"
        again = client.messages.create(
            model=MODEL,
            max_tokens=10,
            messages=[
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": answer.content},
                {"role": "user", "content": [{"type": "text", "text": "b"}]},
            ],
        )
        assert again.content[0].text == "No"  # type: ignore[union-attr]
        assert again.usage.cache_read_input_tokens is not None
        assert again.usage.cache_read_input_tokens > 0


def test_stream() -> None:
    with fake_server("<|channel>thought\nhm<channel|>Yes") as served:
        with client_of(served).messages.stream(
            model=MODEL,
            max_tokens=200,
            thinking={"type": "adaptive"},
            messages=[{"role": "user", "content": "a"}],
        ) as stream:
            types = [event.type for event in stream]
            final = stream.get_final_message()
        assert final.content[0].thinking == "hm"  # type: ignore[union-attr]
        assert final.content[1].text == "Yes"  # type: ignore[union-attr]
        assert final.stop_reason == "end_turn"
        assert types[0] == "message_start" and types[-1] == "message_stop"
        assert types.count("content_block_start") == types.count("content_block_stop") == 2


def test_stop_sequences_and_limits() -> None:
    with fake_server("one STOP two") as served:
        answer = say(client_of(served), stop_sequences=["x", "STOP"])
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "STOP")
        assert answer.content[0].text == "one "
    with fake_server("abcdef") as served:
        assert say(client_of(served), max_tokens=2).stop_reason == "max_tokens"


def test_count_tokens() -> None:
    with fake_server("x") as served:
        client = client_of(served)
        count = client.messages.count_tokens(
            model=MODEL, messages=[{"role": "user", "content": "Hello"}]
        )
        assert count.input_tokens == say(client, "Hello").usage.input_tokens


def test_models() -> None:
    with fake_server() as served:
        models = list(client_of(served).models.list())
        assert [model.id for model in models] == [MODEL]
        assert client_of(served).models.retrieve(MODEL).type == "model"


def test_errors_are_the_clients_own() -> None:
    with fake_server() as served:
        client = client_of(served)
        with pytest.raises(anthropic.BadRequestError, match="temperature: is -1"):
            say(client, extra_body={"temperature": -1})
        with pytest.raises(anthropic.NotFoundError):
            client.messages.create(
                model="claude", max_tokens=1, messages=[{"role": "user", "content": "a"}]
            )
        image = {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        }
        with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\].content\[0\].type"):
            say(client, [image])
        with pytest.raises(anthropic.BadRequestError, match="max_tokens: is missing"):
            client.post("/v1/messages", body={"model": MODEL, "messages": []}, cast_to=object)


def test_an_error_of_the_model_is_told_in_the_stream() -> None:
    with fake_server(fail="the GPU is gone") as served:
        client = client_of(served)
        with pytest.raises(anthropic.InternalServerError, match="the GPU is gone"):
            say(client)
        with pytest.raises(anthropic.APIStatusError, match="the GPU is gone"):
            list(say(client, stream=True))
