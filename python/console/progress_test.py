"""Tests of progress."""

import io
import json

import pytest

from python.console import progress


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_are_rare_and_say_everything() -> None:
    clock = _Clock()
    stream = io.StringIO()
    with progress.Progress(
        "quantize", total=4, total_bytes=4_000_000_000, mode="plain", stream=stream, clock=clock
    ) as bar:
        clock.now += 0.5
        bar.advance("a", bytes_done=1_000_000_000)
        assert stream.getvalue() == ""
        clock.now += 0.5
        bar.advance("b", bytes_done=1_000_000_000)
        clock.now += 0.5
        bar.advance("c", bytes_done=1_000_000_000)
        clock.now += 0.5
        bar.advance("d", bytes_done=1_000_000_000)
    first, last = stream.getvalue().splitlines()
    assert first.startswith("quantize  2/4  50%  2.00 GB  2.00 GB/s  elapsed 0:01  ETA 0:01  RSS ")
    assert first.endswith("  b")
    assert last.startswith("quantize  4/4  100%  4.00 GB  2.00 GB/s  elapsed 0:02  RSS ")
    assert last.endswith("  done")


def test_a_stage_below_one_second_prints_nothing() -> None:
    stream = io.StringIO()
    with progress.Progress("x", total=1, mode="plain", stream=stream, clock=_Clock()) as bar:
        bar.advance()
    assert stream.getvalue() == ""


def test_json_lines() -> None:
    clock = _Clock()
    stream = io.StringIO()
    bar = progress.Progress(
        "export", total=2, total_bytes=20, mode="json", stream=stream, clock=clock
    )
    bar.skip(items=1, bytes_done=10)
    clock.now += 5
    bar.advance("w", bytes_done=5)
    record = json.loads(stream.getvalue())
    assert record["done"] == 2
    assert record["bytes_per_second"] == 1  # what an earlier run did is no part of the rate
    assert record["eta_seconds"] == 5
    assert record["resident_bytes"] > 1_000_000


def test_a_failed_stage_says_stopped() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError), progress.Progress("x", total=2, mode="plain", stream=stream):
        raise ValueError
    assert stream.getvalue().rstrip().endswith("stopped")


def test_none_is_silent_and_an_unknown_mode_is_refused() -> None:
    stream = io.StringIO()
    clock = _Clock()
    with progress.Progress("x", total=1, mode="none", stream=stream, clock=clock) as bar:
        clock.now += 60
        bar.advance()
    assert stream.getvalue() == ""
    with pytest.raises(ValueError, match="fancy"):
        progress.Progress("x", total=1, mode="fancy", stream=stream)


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with progress.Progress("load", total=2, mode="auto", stream=stream) as bar:
        bar.advance()
        bar.advance()
    assert "load" in stream.getvalue()
    assert "2/2" in stream.getvalue()
