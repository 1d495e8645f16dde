"""Tests of interruption: signals that arrive where Python drops what their handlers raise."""

import signal
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from python.console import interruption

_LONG = 60  # seconds, never waited for


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    handlers, hook = [signal.getsignal(number) for number in numbers], sys.unraisablehook
    interruption.listen()
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    sys.unraisablehook = hook


class _Signalled:
    """Is signalled while it is destroyed."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __del__(self) -> None:
        signal.raise_signal(self._number)
        raise AssertionError("the handler did not raise")


class _SignalledTwice(_Signalled):
    """Is still being destroyed when the interruption is raised again, so that this one is dropped, too."""

    def __del__(self) -> None:
        try:
            signal.raise_signal(self._number)
        except KeyboardInterrupt:
            interruption._interrupt_soon()
        time.sleep(_LONG)


def _in_a_destructor(number: signal.Signals) -> None:
    signalled = _Signalled(number)
    del signalled


def _in_a_destructor_twice(number: signal.Signals) -> None:
    signalled = _SignalledTwice(number)
    del signalled


def _in_a_callback(number: signal.Signals) -> None:
    def call(gone: object) -> None:
        signal.raise_signal(number)

    watched = _Watched()
    watcher = weakref.ref(watched, call)
    del watched
    assert watcher() is None


class _Watched:
    pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("drop", [_in_a_destructor, _in_a_destructor_twice, _in_a_callback])
def test_what_python_drops_is_raised_again(
    drop: Callable[[signal.Signals], None],
    number: signal.Signals,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        drop(number)
        time.sleep(_LONG)
    assert capfd.readouterr() == ("", "")


def test_a_signal_while_a_dropped_one_is_taken_is_raised_again() -> None:
    class Dropped:
        @property
        def exc_type(self) -> type[BaseException]:
            signal.raise_signal(signal.SIGINT)
            return KeyboardInterrupt

    dropped: Any = Dropped()
    with pytest.raises(KeyboardInterrupt):
        sys.unraisablehook(dropped)
        time.sleep(_LONG)


def test_another_error_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("a bug")

    reported: list[type[BaseException]] = []
    monkeypatch.setattr(interruption, "_report", lambda dropped: reported.append(dropped.exc_type))
    broken = Broken()
    del broken
    assert reported == [ValueError]


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interruption.listen()
    signal.raise_signal(signal.SIGINT)
