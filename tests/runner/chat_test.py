"""`chat` with its lines piped in: commands, answers that are cut, failures, templates."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.runner.runner_program import Done, copy_artifact, edit_manifest, refusal, run


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return copy_artifact(tmp_path)


def chat(artifact: Path, lines: str, *arguments: str, tokens: str = "6") -> Done:
    return run(
        "chat", "--model", str(artifact), "--temperature", "0", "--max_new_tokens", tokens,
        *arguments, stdin=lines,
    )  # fmt: skip


def test_answers_every_line_and_says_why_an_answer_ends(artifact: Path) -> None:
    done = chat(artifact, "the capital\nand Paris\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= 2
    assert done.stderr.count("(cut at --max_new_tokens 6; /set max_new_tokens N and /regen") == 2


def test_a_cleared_conversation_begins_as_a_new_one(artifact: Path) -> None:
    once = chat(artifact, "the capital\n").stdout
    twice = chat(artifact, "the capital\n/clear\nthe capital\n").stdout
    assert twice == once + once


def test_a_conversation_goes_on_as_if_it_had_never_been_interrupted(artifact: Path) -> None:
    """What the session holds of the turns before is the same as computing them again."""
    lines = "the capital\nand Paris\nis it\n"
    assert chat(artifact, lines).stdout == chat(artifact, lines, "--prefill_chunk", "1").stdout


def test_commands_are_known_or_refused(artifact: Path) -> None:
    done = chat(artifact, "/help\n/quit\n")
    assert done.returncode == 0
    assert done.stdout == ""
    assert re.search(r"^  /clear +start a new conversation$", done.stderr, re.M)
    for leave in ("/exit", "/quit", "exit", "quit"):
        done = chat(artifact, f"{leave}\nthe capital\n")
        assert (done.returncode, done.stdout) == (0, ""), leave
    done = chat(artifact, "/juggle\nthe capital\n")
    assert "unknown command /juggle (/help lists them; // begins a message with /)" in done.stderr
    assert done.stdout != ""
    assert "1 of 2 lines failed" in refusal(done, 1)


def test_an_answer_is_given_anew_and_taken_back(artifact: Path) -> None:
    """At temperature 0 it is the same one; it is computed from what the session holds."""
    done = chat(artifact, "the capital\n/regen\n/undo\n/undo\n")
    first, second = done.stdout.splitlines()[:2]
    assert first == second
    assert "(the same again, since temperature 0 always takes" in done.stderr
    prompt, kept = re.findall(r"prompt of (\d+) tokens, (\d+) of them kept", done.stderr)[1]
    assert int(kept) == int(prompt) - 1
    assert '(forgot "the capital" and its answer)' in done.stderr
    assert "there is no message to take back" in done.stderr
    assert "1 of 4 lines failed" in refusal(done, 1)


def test_other_draws_answer_anew(artifact: Path) -> None:
    lines = (
        "/set temperature 5\n/set seed 1\nthe capital\n/regen\n/set seed 1\n/undo\nthe capital\n"
    )
    done = chat(artifact, lines, tokens="12")
    first, second, third = done.stdout.splitlines()[:3]
    assert (first != second) and (first == third), done.stderr


def test_a_conversation_is_saved_and_goes_on(artifact: Path, tmp_path: Path) -> None:
    saved = tmp_path / "chat.json"
    lines = "the capital\nand Paris\n"
    straight = chat(artifact, lines, "--system", "is it").stdout
    first = chat(artifact, f"the capital\n/save {saved}\n", "--system", "is it")
    messages = json.loads(saved.read_text())["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    second = chat(artifact, f"/load {saved}\nand Paris\n")
    assert first.stdout + second.stdout == straight
    assert "(read 3 messages from" in second.stderr


def test_several_lines_are_one_message(artifact: Path) -> None:
    done = chat(artifact, 'the \\\ncapital\n/undo\n"""the\n/help\n"""\n/undo\n')
    assert done.returncode == 0, done.stderr
    assert '(forgot "the  capital" and' in done.stderr
    assert '(forgot "the /help" and' in done.stderr


def test_piped_words_have_no_escape_codes_or_prompts(artifact: Path) -> None:
    done = chat(artifact, "the capital\n/stats\n/set\n/system\n", "--thinking")
    assert "\x1b" not in done.stdout + done.stderr
    assert "> " not in done.stdout and "\n> " not in done.stderr


def test_two_slashes_begin_a_message_with_one(artifact: Path) -> None:
    assert chat(artifact, "//the capital\n").returncode == 0


def test_a_full_context_names_clear(artifact: Path) -> None:
    edit_manifest(artifact, lambda manifest: manifest["tokenizer"].update(stop_ids=[]))
    done = chat(artifact, "the " * 60 + "\n", tokens="1k")
    assert (
        "(cut: the context of 256 positions is full; /undo takes the last turn back" in done.stderr
    )
    long = "a b c d e f g h " * 40
    done = chat(artifact, f"{long}\n/clear\nthe capital\n")
    assert "/clear starts a new conversation)" in done.stderr
    assert "but the context of this artifact ends at 256" in done.stderr
    assert done.stdout != ""
    assert "1 of 3 lines failed" in refusal(done, 1)


def test_a_base_checkpoint_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    base = copy_artifact(tmp_path, chat_template=None)
    next(base.glob("*.ptd")).rename(tmp_path / "weights")
    message = refusal(chat(base, "the capital\n"), 1)
    assert "no chat template" in message and "--chat_template gemma3 or gemma4" in message
    (tmp_path / "weights").rename(base / "model.ptd")
    assert chat(base, "the capital\n", "--chat_template", "gemma4").returncode == 0


def test_a_template_of_no_known_form_is_refused(tmp_path: Path) -> None:
    foreign = copy_artifact(tmp_path, chat_template=None, foreign=True)
    message = refusal(chat(foreign, "the capital\n"), 1)
    assert "chat_template.jinja" in message and "--chat_template gemma3, gemma4 or" in message
    assert chat(foreign, "the capital\n", "--chat_template", "gemma4").returncode == 0


def test_a_template_that_the_tokenizer_cannot_write_is_refused(artifact: Path) -> None:
    message = refusal(chat(artifact, "the\n", "--chat_template", "gemma3"), 1)
    assert "gemma3 needs the special token <start_of_turn>" in message


def test_the_seed_is_told_at_the_start(artifact: Path) -> None:
    done = run(
        "chat", "--model", str(artifact), "--temperature", "3", "--max_new_tokens", "8",
        stdin="the capital\n",
    )  # fmt: skip
    seed = next(line for line in done.stderr.splitlines() if line.startswith("seed ")).split()[1]
    again = run(
        "chat", "--model", str(artifact), "--temperature", "3", "--max_new_tokens", "8",
        "--seed", seed, stdin="the capital\n",
    )  # fmt: skip
    assert again.stdout == done.stdout


def test_ctrl_c_ends_the_chat_at_its_prompt(artifact: Path) -> None:
    """At a terminal, as its help says; exit 130."""
    person, terminal = pty.openpty()
    process = subprocess.Popen(
        [os.environ["RUNNER"], "chat", "--model", str(artifact), "--threads", "1"],
        stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    seen = b""
    while not seen.endswith(b"\n> "):
        piece = os.read(process.stderr.fileno(), 4096)
        assert piece, seen
        seen += piece
    time.sleep(0.2)  # it now waits for a line
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert b"runner: interrupted" in process.stderr.read()
    os.close(person)
    os.close(terminal)
