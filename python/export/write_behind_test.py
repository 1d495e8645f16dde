"""Order, bound, errors and the end of the thread that writes."""

import threading
import time
import weakref
from concurrent.futures import Future

import numpy as np
import pytest

from python.export.write_behind import WriteBehind


class _Disk:
    """Keeps what it is given, once `gate` is open; fails at `bad`."""

    def __init__(self, bad: str = "") -> None:
        self.gate = threading.Event()
        self.bad = bad
        self.keys: list[str] = []

    def write(self, key: str, data: memoryview) -> None:
        assert self.gate.wait(timeout=30)
        if key == self.bad:
            raise OSError(28, "No space left on device")
        assert data.tobytes() == key.encode() * len(data)
        self.keys.append(key)


def _data(key: str, count: int) -> memoryview:
    return memoryview(key.encode() * count)


def test_all_is_written_in_order_and_reported_by_the_caller() -> None:
    disk, reported = _Disk(), []
    disk.gate.set()
    caller = threading.get_ident()

    def on_written(key: str, count: int) -> None:
        assert threading.get_ident() == caller
        assert key in disk.keys
        reported.append((key, count))

    keys = [chr(ord("a") + number) for number in range(20)]
    with WriteBehind(disk.write, most_bytes=10, on_written=on_written) as behind:
        for number, key in enumerate(keys):
            behind.wait_for_room(number)
            behind.put(key, _data(key, number))
        behind.finish()
    assert disk.keys == keys
    assert reported == [(key, number) for number, key in enumerate(keys)]


def test_no_more_than_the_bound_waits() -> None:
    disk = _Disk()
    alive: list[int] = []

    def on_written(key: str, count: int) -> None:
        alive.remove(count)

    with WriteBehind(disk.write, most_bytes=100, on_written=on_written) as behind:
        for count in (40, 60):
            behind.wait_for_room(count)  # does not wait: both fit, though nothing is written
            behind.put("x", _data("x", count))
            alive.append(count)
        threading.Timer(0.05, disk.gate.set).start()
        for count in (1, 100, 99, 2, 250, 3):
            behind.wait_for_room(count)
            assert sum(alive) + count <= 100 or not alive
            behind.put("x", _data("x", count))
            alive.append(count)
        behind.finish()
    assert not alive


def test_what_is_reported_as_written_is_in_memory_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the thread is still busy with telling that it has finished."""
    set_result = Future.set_result

    def set_result_slowly(future: Future[None], result: None) -> None:
        set_result(future, result)
        time.sleep(0.01)

    monkeypatch.setattr(Future, "set_result", set_result_slowly)
    alive: dict[str, weakref.ref[np.ndarray]] = {}
    reported: list[str] = []

    def on_written(key: str, count: int) -> None:
        assert alive[key]() is None
        reported.append(key)

    with WriteBehind(lambda key, data: None, most_bytes=8, on_written=on_written) as behind:
        for number in range(20):
            key = str(number)
            behind.wait_for_room(8)
            values = np.zeros(1)
            alive[key] = weakref.ref(values)
            behind.put(key, values.data)
            del values
        behind.finish()
    assert len(reported) == 20


def test_an_error_of_the_thread_reaches_the_caller_and_stops_it() -> None:
    disk = _Disk(bad="b")
    reported: list[str] = []
    with (
        pytest.raises(OSError, match="No space left"),
        WriteBehind(disk.write, most_bytes=3, on_written=lambda k, _: reported.append(k)) as behind,
    ):
        for key in "abc":
            behind.put(key, _data(key, 1))
        disk.gate.set()
        behind.finish()
    assert reported == ["a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_written_after_the_callers_failure(error: type[BaseException]) -> None:
    disk = _Disk()
    with (
        pytest.raises(error),
        WriteBehind(disk.write, most_bytes=9, on_written=lambda *_: None) as behind,
    ):
        for key in "abc":
            behind.put(key, _data(key, 1))
        time.sleep(0.05)  # the thread has begun with a
        threading.Timer(0.1, disk.gate.set).start()
        raise error
    assert disk.keys == ["a"]
