"""Flags from the environment and from a file: who beats whom, and what is refused; stderr as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.runner.runner_program import Done, copy_artifact, refusal, run


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return copy_artifact(tmp_path)


def generate(artifact: Path, *arguments: str, **environment: str) -> Done:
    return run(
        "generate", "--model", str(artifact), "--prompt", "the capital", "--temperature", "0",
        *arguments, environment=environment,
    )  # fmt: skip


def written(done: Done) -> int:
    """How many tokens the text has."""
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("decode "))
    return int(line.split(", ")[1].split()[0])


def test_flag_then_environment_then_file_then_default(artifact: Path, tmp_path: Path) -> None:
    config = tmp_path / "runner.toml"
    config.write_text("max_new_tokens = 3\n[chat]\nmax_new_tokens = 9\n")
    asked = ("--config", str(config))
    assert written(generate(artifact, *asked)) == 3
    assert written(generate(artifact, *asked, GEMMA_RUNNER_MAX_NEW_TOKENS="4")) == 4
    given = ("--max_new_tokens", "5")
    assert written(generate(artifact, *asked, *given, GEMMA_RUNNER_MAX_NEW_TOKENS="4")) == 5
    assert written(generate(artifact, GEMMA_RUNNER_CONFIG=str(config))) == 3


def test_every_flag_may_come_from_a_file(artifact: Path, tmp_path: Path) -> None:
    config = tmp_path / "runner.toml"
    config.write_text(
        f'model = "{artifact}"\nquiet = true\n[generate]\nprompt = "the capital"\n'
        'temperature = 0\nmax_new_tokens = "1k"\nstop = ["x", "y z"]\nthreads = 1\n'
    )
    done = run("generate", "--config", str(config), "--max_new_tokens", "2")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_no_flag_is_refused_by_name(artifact: Path, tmp_path: Path) -> None:
    config = tmp_path / "runner.toml"
    config.write_text("[generate]\ntemprature = 1\n")
    message = refusal(generate(artifact, "--config", str(config)), 2)
    assert "temprature in [generate] is no flag of it" in message
    message = refusal(generate(artifact, GEMMA_RUNNER_TEMPRATURE="1"), 2)
    assert "GEMMA_RUNNER_TEMPRATURE" in message
    message = refusal(generate(artifact, "--config", str(tmp_path / "none.toml")), 1)
    assert "none.toml" in message


def test_a_value_that_is_not_allowed_names_its_source(artifact: Path, tmp_path: Path) -> None:
    message = refusal(generate(artifact, GEMMA_RUNNER_MAX_NEW_TOKENS="many"), 2)
    assert "max_new_tokens" in message and "(from GEMMA_RUNNER_MAX_NEW_TOKENS)" in message
    config = tmp_path / "runner.toml"
    config.write_text("device = 'tpu'\n")
    message = refusal(generate(artifact, "--config", str(config)), 2)
    assert "tpu is not one of auto|cpu|cuda" in message and f"(from {config})" in message


def lines(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_json_logs_are_an_object_a_line(artifact: Path) -> None:
    done = generate(artifact, "--log_format=json", "--max_new_tokens", "3")
    assert done.returncode == 0
    notes = lines(done)
    assert {note["kind"] for note in notes} == {"note", "progress"}
    assert any(note.get("text", "").startswith("device: CPU") for note in notes)
    progress = [note for note in notes if note["kind"] == "progress" and note["what"] == "prompt"]
    assert progress[0]["done"] == 0
    assert progress[-1]["done"] == progress[-1]["total"] > 0
    assert progress[-1]["unit"] == "tokens"


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "--log_format", "json", "--no_such_flag"),
        ("generate", "--model", "none", "--prompt", "a", "--log_format=json"),
        ("generate", "--log_format=json", "--threads", "many", "--model", "none"),
    ],
)
def test_errors_are_json_too(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    [*_, last] = lines(done)
    assert last["kind"] == "error"
    assert last["exit_code"] == done.returncode != 0


def test_piped_chats_log_json(artifact: Path) -> None:
    done = run(
        "chat", "--model", str(artifact), "--temperature", "0", "--max_new_tokens", "3",
        "--log_format=json", stdin="the capital\n/juggle\n",
    )  # fmt: skip
    assert done.returncode == 1
    kinds = [line["kind"] for line in lines(done)]
    assert kinds.count("error") == 2  # the command's, and the end's
