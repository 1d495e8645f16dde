"""For tests: the time and the memory that a reader takes to refuse a hostile file."""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from python.console.errors import UserError

MAX_SECONDS = 0.1
MAX_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What a reader said, in how many seconds, and the most memory that Python held meanwhile."""

    sentence: str
    seconds: float
    peak_bytes: int


def refusal_of(read: Callable[[], object]) -> Refusal:
    """Expects `read` to raise UserError; anything else fails the test."""
    start = time.process_time()
    sentence = _sentence(read)
    seconds = time.process_time() - start
    tracemalloc.start()
    try:
        _sentence(read)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return Refusal(sentence=sentence, seconds=seconds, peak_bytes=peak)


def _sentence(read: Callable[[], object]) -> str:
    try:
        read()
    except UserError as error:
        return str(error)
    raise AssertionError("the file was accepted")


def check_cheap(refusal: Refusal) -> None:
    """One short sentence, within the time and the memory that a refusal may take."""
    assert "\n" not in refusal.sentence
    assert len(refusal.sentence) < 700
    assert refusal.seconds < MAX_SECONDS
    assert refusal.peak_bytes < MAX_BYTES
