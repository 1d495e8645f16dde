"""`completion`: bash and zsh complete subcommands, flags and their values as the parser has them."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.runner.runner_program import run


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = run("completion", "bash")
    assert done.returncode == 0, done.stderr
    path = tmp_path_factory.mktemp("completion") / "runner.bash"
    path.write_text(done.stdout)
    return path


def complete(script: Path, *words: str) -> list[str]:
    """What bash offers for the last word; words are split as bash splits them, at "=" too."""
    program = (
        f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _runner; '
        'printf "%s\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-uc", program, "bash", *words],
        capture_output=True, text=True, check=True, cwd=script.parent,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_subcommands_come_first(script: Path) -> None:
    offered = complete(script, "runner", "")
    assert {"generate", "chat", "serve", "completion", "--help", "--version"} <= set(offered)
    assert complete(script, "runner", "ge") == ["generate"]


@pytest.mark.parametrize("command", ["generate", "chat", "serve", "bench", "doctor"])
def test_flags_are_those_of_help(script: Path, command: str) -> None:
    offered = complete(script, "runner", command, "--")
    shown = run(command, "--help").stdout.split()
    flags = {word for word in shown if word.startswith("--") and word.strip("-").isidentifier()}
    assert set(offered) - {"--config", "--log_format"} <= flags
    assert {"--model", "--help", "--log_format"} <= set(offered)
    assert "--model" in complete(script, "runner", command, "--mod")


def test_values_of_choices(script: Path) -> None:
    assert complete(script, "runner", "chat", "--device", "") == ["auto", "cpu", "cuda"]
    assert complete(script, "runner", "chat", "--device", "=", "cu") == ["cuda"]
    assert complete(script, "runner", "chat", "--device", "=") == ["auto", "cpu", "cuda"]
    assert complete(script, "runner", "bench", "--log_format", "j") == ["json"]
    assert complete(script, "runner", "chat", "--seed", "") == []


def test_folders_and_files(script: Path) -> None:
    (script.parent / "model_folder").mkdir()
    (script.parent / "notes.txt").write_text("")
    assert complete(script, "runner", "chat", "--model", "mo") == ["model_folder"]
    assert complete(script, "runner", "generate", "--prompt_file", "no") == ["notes.txt"]


def test_zsh_has_the_same_tables() -> None:
    done = run("completion", "zsh")
    assert done.returncode == 0
    assert done.stdout.startswith("#compdef runner\n")
    assert "'*--device=[auto takes the GPU" in done.stdout


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("runner ge", "runner generate "),
        ("runner chat --dev", "runner chat --device="),
        ("runner chat --device=cu", "runner chat --device=cuda "),
        ("runner bench --log_format j", "runner bench --log_format json "),
        ("runner chat --model mo", "runner chat --model model_folder/"),
    ],
)
def test_zsh_completes(tmp_path: Path, typed: str, completed: str) -> None:
    (tmp_path / "model_folder").mkdir()
    (tmp_path / "runner.zsh").write_text(run("completion", "zsh").stdout)
    assert complete_in_zsh(tmp_path, typed) == completed


def complete_in_zsh(folder: Path, typed: str) -> str:
    """What a Tab makes of a line, in a zsh of its own in a pseudo-terminal."""
    setup = (
        "autoload -U compinit; compinit -u -D; source ./runner.zsh; "
        'show() { zle -I; print -r -- "[$BUFFER]" }; zle -N show; bindkey "^T" show\r'
    )
    terminal, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
        start_new_session=True, env={**os.environ, "HOME": str(folder), "TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    try:
        os.write(terminal, (setup + typed + "\t\x14").encode())
        shown, end = "", time.monotonic() + 30
        while (found := re.search(r"\[(runner [^]]*)\]", shown)) is None:
            assert time.monotonic() < end, shown
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536).decode(errors="replace")
        return found[1]
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


def test_another_shell_is_a_usage_error() -> None:
    assert run("completion", "fish").returncode == 2
    assert run("completion").returncode == 2
