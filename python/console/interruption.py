"""Ctrl-C and SIGTERM as KeyboardInterrupt, and never lost.

Python runs a signal's handler wherever the main thread is. Inside a destructor or a weak reference's callback it prints
and drops what the handler raises, and the program would go on as if nobody had asked.
What must stay true: an interruption that was dropped is raised again, soon after, until it arrives; a signal that the
caller has this process ignore (a shell does so for `program &`) stays ignored.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

_SOON = 0.01  # seconds: a destructor that an exception has left is over by then

_report = sys.unraisablehook


def listen() -> None:
    """Makes SIGINT and SIGTERM interrupt this program. To be called in the main thread."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook = _take_dropped


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code is _take_dropped.__code__:  # what is raised there is dropped once more
            return _interrupt_soon()
        frame = frame.f_back
    raise KeyboardInterrupt


def _take_dropped(dropped: sys.UnraisableHookArgs) -> None:
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        _interrupt_soon()
    else:
        _report(dropped)


def _interrupt_soon() -> None:
    signal.setitimer(signal.ITIMER_REAL, _SOON)
