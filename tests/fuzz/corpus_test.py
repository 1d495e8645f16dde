"""Replays seeds and what fuzzing kept: each input is accepted, or refused in one sentence.

Either takes no more than a reader's time and memory.
"""

import time
import tracemalloc

import pytest

from python.checkpoint.testing.refusal_cost import MAX_BYTES
from tests.fuzz import corpus, readers

# A refusal takes well under 100 ms (the hostile tests of each reader); this is for a busy machine.
_MAX_SECONDS = 1.0


@pytest.mark.parametrize("name", list(readers.READERS))
def test_every_input_is_accepted_or_refused(name: str) -> None:
    inputs = corpus.load(name)
    accepted, slowest, largest = 0, 0.0, 0
    for data in inputs:
        start = time.process_time()
        accepted += readers.accepts(readers.READERS[name], data)
        slowest = max(slowest, time.process_time() - start)
        tracemalloc.start()
        readers.accepts(readers.READERS[name], data)
        largest = max(largest, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(
        f"{name}: {len(inputs)} inputs, {accepted} accepted, slowest {slowest * 1e3:.0f} ms, "
        f"largest {largest / 1e6:.1f} MB"
    )
    assert accepted > 0
    assert accepted < len(inputs) or len(inputs) < 10
    assert slowest < _MAX_SECONDS
    assert largest < MAX_BYTES
