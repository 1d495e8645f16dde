"""--help, --version, and calls that name nothing: what a newcomer sees first."""

from __future__ import annotations

import re

import pytest

from tests.runner.runner_program import refusal, run

COMMANDS = (
    "generate",
    "chat",
    "serve",
    "score",
    "perplexity",
    "bench",
    "inspect",
    "doctor",
    "completion",
)


def test_help_lists_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", done.stdout, re.M)
    assert "--config FILE" in done.stdout and "GEMMA_RUNNER_TOP_K is --top_k" in done.stdout
    assert "--log_format text|json [text]" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_readable_choices(command: str) -> None:
    text = run(command, "--help").stdout
    assert f"runner {command}" in text.split("Examples:")[1]
    assert "--log_format" not in text  # of all, so in the program's own help
    assert "ENUM" not in text and "->" not in text and "Option Group" not in text
    assert not re.search(r"\d\.\d+e[+-]?\d{2,}", text)


def test_prompts_come_first_and_defaults_are_shown() -> None:
    text = run("generate", "--help").stdout
    flags = re.findall(r"^ +(--\w+)", text, re.M)
    assert flags[:3] == ["--help", "--prompt", "--prompt_file"] or flags[:2] == [
        "--prompt",
        "--prompt_file",
    ]
    assert re.search(r"--max_new_tokens N \[512\]", text)
    assert re.search(r"--device auto\|cpu\|cuda \[auto\]", text)
    text = run("bench", "--help").stdout
    assert re.search(r"--prefill N,\.\.\. \[512\]", text)
    assert re.search(r"--format table\|markdown\|json \[table\]", text)


def test_the_version_is_printed() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert re.fullmatch(
        r"runner \d+\.\d+\.\d+, (unstamped \(.*\)|commit [0-9a-f]{12}(-dirty)?), "
        r"ExecuTorch \d+\.\d+\.\d+, CUDA \d+\.\d+\n",
        done.stdout,
    )


def test_a_call_without_a_command_is_a_usage_error() -> None:
    assert "name a subcommand" in refusal(run(), 2)
    assert "juggle is not a subcommand" in refusal(run("juggle"), 2)
