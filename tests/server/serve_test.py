"""`runner serve` on the tiny artifact: the real engine behind the official clients."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import jsonschema
import openai
import pytest

from tests.runner.runner_program import copy_artifact, refusal, run
from tests.server.served import Served


def serve(artifact: Path, *flags: str) -> Served:
    return Served(
        [os.environ["RUNNER"], "serve", "--model", str(artifact), "--port", "0", "--threads", "1",
         *flags]
    )  # fmt: skip


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_artifact(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def served(artifact: Path) -> Iterator[Served]:
    server = serve(artifact, "--slots", "2", "--model_name", "tiny").wait()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=120)


def complete(client: openai.OpenAI, prompt: str = "the capital", **fields: Any) -> Any:
    fields.setdefault("max_tokens", 8)
    return client.completions.create(model="tiny", prompt=prompt, **fields)


def test_completes_as_generate_does(artifact: Path, client: openai.OpenAI) -> None:
    for temperature in (0, 5):
        done = run(
            "generate", "--model", str(artifact), "--raw", "--prompt", "the capital", "--quiet",
            "--max_new_tokens", "8", "--temperature", str(temperature), "--seed", "3",
        )  # fmt: skip
        answer = complete(client, temperature=temperature, seed=3)
        assert answer.choices[0].text == done.stdout.removesuffix("\n")


def test_chat_is_rendered_as_generate_renders_it(artifact: Path, client: openai.OpenAI) -> None:
    done = run(
        "generate", "--model", str(artifact), "--prompt", "the capital", "--quiet",
        "--max_new_tokens", "8", "--temperature", "0",
    )  # fmt: skip
    answer = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "the capital"}], temperature=0,
        max_tokens=8,
    )  # fmt: skip
    assert answer.choices[0].message.content == done.stdout.removesuffix("\n")


def test_a_draw_on_the_host_is_the_devices_draw(client: openai.OpenAI) -> None:
    """Log-probabilities take the logits to the host; the text is the same, token for token."""
    for seed in range(3):
        sampling: dict[str, Any] = {"temperature": 3, "top_p": 0.9, "seed": seed, "max_tokens": 20}
        plain = complete(client, extra_body={"top_k": 40, "min_p": 0.01}, **sampling)
        host = complete(client, extra_body={"top_k": 40, "min_p": 0.01}, logprobs=1, **sampling)
        assert host.choices[0].text == plain.choices[0].text


def test_logprobs_are_those_of_score(artifact: Path, served: Served, client: openai.OpenAI) -> None:
    answer = complete(client, temperature=0, logprobs=5, max_tokens=6)
    logprobs = answer.choices[0].logprobs
    tokens = served.post("/tokenize", {"prompt": "the capital"}).json["tokens"]
    after = served.post("/tokenize", {"prompt": "the capital" + answer.choices[0].text}).json
    drawn = list(logprobs.token_logprobs)
    if after["tokens"][: len(tokens)] != tokens or len(after["tokens"]) != len(tokens) + len(drawn):
        pytest.skip("the text has no tokens of its own to compare with")
    done = run(
        "score", "--model", str(artifact), "--tokens", ",".join(map(str, after["tokens"])),
        "--quiet",
    )  # fmt: skip
    scores = [json.loads(line) for line in done.stdout.splitlines()][len(tokens) - 1 : -1]
    for logprob, score in zip(drawn, scores, strict=True):
        assert logprob == pytest.approx(score["next_logprob"], abs=1e-3)


def test_penalties_keep_tokens_from_coming_back(client: openai.OpenAI) -> None:
    answer = complete(client, temperature=0, presence_penalty=2, frequency_penalty=2, logprobs=0,
                      max_tokens=40)  # fmt: skip
    plain = complete(client, temperature=0, logprobs=0, max_tokens=40)
    tokens, repeated = answer.choices[0].logprobs.tokens, plain.choices[0].logprobs.tokens
    assert len(set(tokens)) > len(set(repeated)) or len(set(repeated)) == len(repeated)


def test_a_second_turn_is_computed_from_where_it_differs(client: openai.OpenAI) -> None:
    first = complete(client, "a conversation that goes on and on", temperature=0)
    text = "a conversation that goes on and on" + first.choices[0].text
    second = complete(client, text, temperature=0)
    fresh = complete(client, text, temperature=0)
    assert second.usage.prompt_tokens_details.cached_tokens > 5
    assert fresh.choices[0].text == second.choices[0].text


# Answers that are held to a form, of weights that write noise.
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"enum": ["yes", "no"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["answer", "count"],
    "additionalProperties": False,
}
VOTE: Any = {"type": "function", "function": {"name": "vote", "parameters": FORM}}


def check_form(content: str | None) -> None:
    assert content is not None
    jsonschema.validate(json.loads(content), FORM)


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "the capital"}], max_tokens=80, **fields
    )


def ask_for_form(client: openai.OpenAI, **fields: Any) -> Any:
    form: Any = {"type": "json_schema", "json_schema": {"name": "form", "schema": FORM}}
    return ask(client, response_format=form, **fields)


@pytest.fixture(scope="module")
def brief_thought(served: Served) -> dict[str, int]:
    """A bias with which a model thinks as soon as it may, and as briefly."""
    marks = {"prompt": "<|channel><channel|>", "add_special_tokens": False}
    opener, closer = served.post("/tokenize", marks).json["tokens"]
    return {str(opener): 100, str(closer): 100}


def test_random_weights_keep_to_a_schema(client: openai.OpenAI) -> None:
    for seed in range(5):
        choice = ask_for_form(client, temperature=2, seed=seed).choices[0]
        assert choice.finish_reason == "stop"
        check_form(choice.message.content)


def test_a_schema_begins_after_the_thought(
    client: openai.OpenAI, brief_thought: dict[str, int]
) -> None:
    fields: dict[str, Any] = {"logit_bias": brief_thought, "seed": 1, "reasoning_effort": "low"}
    choice = ask_for_form(client, **fields).choices[0]
    assert choice.finish_reason == "stop"
    check_form(choice.message.content)
    chunks = list(ask_for_form(client, stream=True, **fields))
    check_form("".join(chunk.choices[0].delta.content or "" for chunk in chunks))


def test_random_weights_call_the_tool_that_they_must(client: openai.OpenAI) -> None:
    for seed in range(5):
        fields: dict[str, Any] = {"tools": [VOTE], "temperature": 2, "seed": seed}
        choice = ask(client, tool_choice="required", parallel_tool_calls=False, **fields).choices[0]
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert call.function.name == "vote"
        check_form(call.function.arguments)


def test_a_result_goes_back_to_the_model(client: openai.OpenAI) -> None:
    fields: dict[str, Any] = {"tools": [VOTE], "seed": 1, "parallel_tool_calls": False}
    message = ask(client, tool_choice="required", **fields).choices[0].message
    (call,) = message.tool_calls
    answer = client.chat.completions.create(
        model="tiny",
        messages=[
            {"role": "user", "content": "the capital"},
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "counted"},
        ],
        max_tokens=4,
        **fields,
    )
    asked = ask(client, **fields).usage.prompt_tokens
    assert answer.usage.prompt_tokens > asked + len("counted")
    assert answer.usage.completion_tokens > 0


def test_anthropics_client_gets_its_tool_use(served: Served) -> None:
    client = anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0, timeout=120)
    # The API has no seed, and random weights do not always end a call within the limit.
    for _ in range(6):
        answer = client.messages.create(
            model="tiny",
            max_tokens=80,
            messages=[{"role": "user", "content": "the capital"}],
            tools=[{"name": "vote", "input_schema": FORM}],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
        )
        if answer.stop_reason != "max_tokens":
            break
    assert answer.stop_reason == "tool_use"
    (use,) = [block for block in answer.content if block.type == "tool_use"]
    jsonschema.validate(use.input, FORM)


def test_tokens_there_and_back(served: Served) -> None:
    text = "the capital \N{SNOWMAN}"
    ids = served.post("/tokenize", {"prompt": text, "add_special_tokens": False}).json
    assert ids["count"] == len(ids["tokens"]) > 0 and ids["max_model_len"] == 256
    assert served.post("/detokenize", {"tokens": ids["tokens"]}).json["prompt"] == text


def test_a_damaged_artifact_ends_the_server(tmp_path: Path) -> None:
    copy = copy_artifact(tmp_path)
    next(copy.glob("*.ptd")).unlink()
    server = serve(copy)
    assert server.stop(signal.SIGCONT) == 1
    assert server.lines[-1].startswith("runner: "), server.lines


def test_a_taken_port_is_said(artifact: Path, served: Served) -> None:
    done = run("serve", "--model", str(artifact), "--port", str(served.port), "--threads", "1")
    assert f"cannot listen on 127.0.0.1:{served.port}" in refusal(done, 1)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--port", "70000"), "--port"),
        (("--slots", "0"), "--slots"),
        (("--queue", "-1"), "--queue"),
        (("--frob",), "serve has no flag --frob"),
    ],
)
def test_wrong_flags_are_usage_errors(
    artifact: Path, flags: tuple[str, ...], sentence: str
) -> None:
    done = run("serve", "--model", str(artifact), "--threads", "1", *flags)
    assert sentence in refusal(done, 2)


def test_keys_must_be_keys(artifact: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("short\n")
    done = run(
        "serve", "--model", str(artifact), "--port", "0", "--api_key_file", str(keys),
        "--threads", "1",
    )  # fmt: skip
    assert "the key has 5 characters" in refusal(done, 1)


def test_ctrl_c_ends_an_idle_server_in_order(artifact: Path) -> None:
    server = serve(artifact).wait()

    assert server.stop(signal.SIGINT) == 0
