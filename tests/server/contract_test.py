"""The tables of docs/serving.md against a server.

What they say is supported is answered, what they say is refused is a 400 that names the field, and
they leave out no field of the official clients.
"""

from __future__ import annotations

import json
import os
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params

from tests.server.served import MODEL, Reply, Served, fake_server

BASES: dict[str, dict[str, typing.Any]] = {
    "/v1/chat/completions": {
        "model": MODEL, "messages": [{"role": "user", "content": "a"}], "max_tokens": 4,
    },
    "/v1/chat/completions, a message": {"role": "user", "content": "a"},
    "/v1/completions": {"model": MODEL, "prompt": "a", "max_tokens": 4},
    "/v1/responses": {"model": MODEL, "input": "a", "max_output_tokens": 4},
    "/v1/messages": {
        "model": MODEL, "messages": [{"role": "user", "content": "a"}], "max_tokens": 4,
    },
    "/tokenize": {"prompt": "a"},
    "/detokenize": {"tokens": [20]},
}  # fmt: skip
CLIENTS = {
    "/v1/chat/completions": chat_params.CompletionCreateParamsBase,
    "/v1/completions": completion_create_params.CompletionCreateParamsBase,
    "/v1/responses": response_create_params.ResponseCreateParamsBase,
    "/v1/messages": message_create_params.MessageCreateParamsBase,
}


class Row(typing.NamedTuple):
    endpoint: str
    field: str
    state: str
    example: dict[str, typing.Any]


def rows() -> list[Row]:
    found = []
    endpoint = ""
    for line in Path(os.environ["SERVING_MD"]).read_text().splitlines():
        if line.startswith("### POST "):
            endpoint = line.removeprefix("### POST ")
        cells = re.match(r"\| `([^`]+)` \| (\w+) \| `(.*?)` \|", line)
        if cells is not None and endpoint:
            example = json.loads(cells[3].replace('"MODEL"', f'"{MODEL}"'))
            found.append(Row(endpoint, cells[1], cells[2], example))
    return found


def send(served: Served, endpoint: str, fields: dict[str, typing.Any]) -> Reply:
    """A small request with these fields merged into it, or into its only message."""
    body = {**BASES[endpoint], **fields}
    if endpoint.endswith(", a message"):
        endpoint = endpoint.removesuffix(", a message")
        body = {**BASES[endpoint], "messages": [body]}
    return served.post(endpoint, body)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with fake_server() as server:
        yield server


def test_the_tables_were_read() -> None:
    assert {row.endpoint for row in rows()} == set(BASES)
    assert {row.state for row in rows()} == {"supported", "accepted", "refused"}
    assert len(rows()) > 100


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.endpoint} {row.field}")
def test_the_server_does_as_the_table_says(served: Served, row: Row) -> None:
    reply = send(served, row.endpoint, row.example)
    if row.state != "refused":
        assert reply.status == 200, reply.body
        return
    assert reply.status == 400, reply.body
    name = row.field if "," not in row.endpoint else f"messages[0].{row.field}"
    assert reply.error["message"].startswith(name)
    if row.endpoint != "/v1/messages":
        assert reply.error["param"] == name


@pytest.mark.parametrize("endpoint", BASES)
def test_fields_that_are_not_listed_are_refused(served: Served, endpoint: str) -> None:
    reply = send(served, endpoint, {"frobnicate": 1})
    assert reply.status == 400
    assert "frobnicate: is unknown here" in reply.error["message"]


@pytest.mark.parametrize("endpoint", CLIENTS)
def test_every_field_of_the_official_clients_is_listed(endpoint: str) -> None:
    listed = {row.field for row in rows() if row.endpoint == endpoint}
    assert set(CLIENTS[endpoint].__annotations__) - listed == set()


def test_every_field_of_count_tokens_is_one_of_messages() -> None:
    listed = {row.field for row in rows() if row.endpoint == "/v1/messages"}
    fields = message_count_tokens_params.MessageCountTokensParams.__annotations__
    assert set(fields) - listed == set()


@pytest.mark.parametrize("endpoint", BASES)
def test_a_number_of_any_kind_is_answered_or_refused_by_name(served: Served, endpoint: str) -> None:
    """Bounded hostility: every listed field with values that no client should send."""
    hostile: list[typing.Any] = [-1, 2**63, 2**64, 1e308, -0.5, "x", "", [], {}, True, [[]], "\0"]
    for field in sorted({row.field for row in rows() if row.endpoint == endpoint}):
        if not field.isidentifier():
            continue
        for value in hostile:
            reply = send(served, endpoint, {field: value})
            assert reply.status in (200, 400, 404), (field, value, reply.body)
            if reply.status == 400:
                assert field in reply.error["message"] or "tokens" in reply.error["message"], (
                    field, value, reply.body,
                )  # fmt: skip
    assert served.get("/health").status == 200
