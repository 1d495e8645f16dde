"""`chat` as a person has it: a pseudo-terminal, keys, what the screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import stat
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.runner_program import copy_artifact, edit_manifest

_PROMPT = "> "
_UP, _CTRL_A, _CTRL_C, _CTRL_D = "\x1b[A", "\x01", "\x03", "\x04"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Screen:
    """A chat in a pseudo-terminal: what is typed goes in, all that is written comes out."""

    def __init__(
        self,
        artifact: Path,
        *arguments: str,
        tokens: str = "6",
        own: bool = True,
        **environment: str,
    ) -> None:
        self._terminal, theirs = pty.openpty()
        command = [os.environ["RUNNER"], "chat", "--model", str(artifact), "--threads", "1"]
        command += ["--temperature", "0", "--max_new_tokens", tokens, *arguments]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=(lambda: _own(0)) if own else None,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )  # fmt: skip
        os.close(theirs)
        self.raw = ""
        self._unread = ""

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def read_until(self, text: str, seconds: float = 30) -> str:
        """What is written up to and with `text`, without escape codes."""
        end = time.monotonic() + seconds
        while text not in self._unread:
            assert time.monotonic() < end, f"{text!r} is not in {self._unread!r}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                self._unread = _ESCAPE.sub("", self._unread + self._read())
        before, self._unread = self._unread.split(text, maxsplit=1)
        return before + text

    def answer(self, message: str) -> str:
        """The lines between a message and the next prompt."""
        self.type(message + "\r")
        text = self.read_until("tokens/s; ")
        self.read_until(_PROMPT)
        return text

    def close(self) -> int:
        code = self.process.wait(timeout=30)
        os.close(self._terminal)
        return code

    def go_away(self) -> int:
        """What the chat makes of a terminal that is closed."""
        os.close(self._terminal)
        return self.process.wait(timeout=30)

    def leave(self) -> None:
        """At the prompt."""
        self.type(_CTRL_D)
        assert self.close() == 0

    def _read(self) -> str:
        try:
            text = os.read(self._terminal, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            raise AssertionError(f"the chat ended with {self.process.wait()}: {self.raw}") from None
        self.raw += text
        return text


def _own(descriptor: int) -> None:
    """Makes the terminal the new session's own, so that its Ctrl-C reaches the chat."""
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return copy_artifact(tmp_path)


@pytest.fixture
def screen(artifact: Path, tmp_path: Path) -> Iterator[Screen]:
    screen = Screen(artifact, XDG_STATE_HOME=str(tmp_path / "state"))
    yield screen
    if screen.process.poll() is None:
        screen.process.kill()


def test_begins_with_the_model_device_context_and_memory(screen: Screen) -> None:
    text = screen.read_until(_PROMPT)
    assert re.search(r"\S+ on CPU \(.*\), context of 256 tokens, memory: weights [\d.]+ .?B", text)
    screen.type("/exit\r")
    assert screen.close() == 0


@pytest.mark.parametrize("own", [True, False])
def test_a_terminal_that_goes_away_ends_it(artifact: Path, own: bool) -> None:
    screen = Screen(artifact, "--history", "none", own=own)
    screen.read_until(_PROMPT)
    assert screen.go_away() == -signal.SIGHUP


def test_lines_are_edited_and_remembered(screen: Screen, tmp_path: Path) -> None:
    screen.read_until(_PROMPT)
    screen.answer("pital" + _CTRL_A + "the ca")  # the beginning is typed last
    screen.type(_UP)
    screen.read_until("the capital")
    screen.type("\r")
    screen.read_until("tokens/s; ")
    screen.read_until(_PROMPT)
    screen.leave()
    history = tmp_path / "state" / "gemma_runner" / "chat_history"
    assert "the capital" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_notes_are_dim_and_answers_are_not(screen: Screen) -> None:
    screen.read_until(_PROMPT)
    screen.answer("the capital")
    assert "\x1b[2m(cut at --max_new_tokens 6; " in screen.raw
    assert re.search(r"\x1b\[2m\(6 tokens, [\d.]+ tokens/s; prompt of \d+ tokens", screen.raw)
    screen.leave()


def test_no_color_has_no_dim_text(artifact: Path) -> None:
    screen = Screen(artifact, "--history", "none", NO_COLOR="1")
    screen.read_until(_PROMPT)
    screen.answer("the capital")
    assert "\x1b[2m" not in screen.raw
    screen.leave()


def test_a_dumb_terminal_has_no_escape_codes_at_all(artifact: Path) -> None:
    screen = Screen(artifact, TERM="dumb")
    screen.read_until(_PROMPT)
    screen.type("the capital\n")
    screen.read_until("tokens/s; ")
    assert "\x1b" not in screen.raw
    screen.leave()


def test_several_lines_are_one_message(screen: Screen) -> None:
    screen.read_until(_PROMPT)
    screen.type('"""the capital\r')
    screen.read_until(". ")
    screen.type('and Paris"""\r')
    screen.read_until("tokens/s; ")
    screen.read_until(_PROMPT)
    screen.type("/undo\r")
    assert '(forgot "the capital and Paris" and its answer)' in screen.read_until("answer)")
    screen.read_until(_PROMPT)
    screen.leave()


def test_ctrl_c_stops_an_answer_and_keeps_the_conversation(artifact: Path) -> None:
    edit_manifest(artifact, lambda manifest: manifest["tokenizer"].update(stop_ids=[]))
    screen = Screen(artifact, "--history", "none", tokens="100k")
    screen.read_until(_PROMPT)
    screen.type("the capital\r")
    screen.read_until("the capital")
    time.sleep(0.05)
    screen.type(_CTRL_C)
    text = screen.read_until("tokens/s; ")
    assert "(stopped)" in text or "is full" in text or "is forgotten" in text
    screen.read_until(_PROMPT)
    screen.type("half a line")
    screen.read_until("half a line")
    screen.type(_CTRL_C)  # at the prompt it empties the line
    screen.read_until("\n" + _PROMPT)
    screen.type("/stats\r")
    assert "answers  1" in screen.read_until("resident")
    screen.read_until(_PROMPT)
    screen.leave()


def test_a_signal_at_the_prompt_ends_it_and_gives_the_terminal_back(screen: Screen) -> None:
    screen.read_until(_PROMPT)
    time.sleep(0.2)
    screen.process.send_signal(signal.SIGTERM)
    assert screen.close() == 130


def test_a_history_that_cannot_be_written_is_named(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    screen = Screen(artifact, "--history", str(tmp_path / "file" / "history"))
    text = screen.read_until("forgets them)")
    assert "history: cannot remember lines there (--history none forgets them)" in text
    assert screen.close() == 1
