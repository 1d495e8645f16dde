"""Writes finished weights in a thread of its own, while the next ones are being made.

What must stay true: weights are written in the order in which they were given, and those that are
given and not yet written have no more bytes than agreed (or are a single one); whatever stops the
thread is raised where the next weight is given; when the block ends, for whatever reason, the
thread writes no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

Write = Callable[[str, memoryview], None]
OnWritten = Callable[[str, int], None]


class WriteBehind:
    """Calls `write` in a thread. Use: `wait_for_room` and `put` for each weight, then `finish`.

        with WriteBehind(writer.write, most_bytes=largest, on_written=report) as behind:
            for key in keys:
                behind.wait_for_room(sizes[key])
                behind.put(key, make(key))
            behind.finish()

    on_written: called with the key and the size of what has been written, by the caller's thread.
    """

    def __init__(self, write: Write, *, most_bytes: int, on_written: OnWritten) -> None:
        self._write = write
        self._most_bytes = most_bytes
        self._on_written = on_written
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")
        self._given: deque[tuple[str, int, Future[None]]] = deque()
        self._bytes = 0  # of all that is given and not known to be written

    def wait_for_room(self, count: int) -> None:
        """Waits until `count` bytes more may be given; call it before they are made."""
        while self._given and (self._given[0][2].done() or self._bytes + count > self._most_bytes):
            self._take_oldest()

    def put(self, key: str, data: memoryview) -> None:
        """Gives the next weight, which must not change any more."""
        handed = [data]
        count = len(data)
        self._given.append((key, count, self._thread.submit(self._write_one, key, handed)))
        self._bytes += count

    def finish(self) -> None:
        """Waits until everything is written."""
        while self._given:
            self._take_oldest()

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _write_one(self, key: str, handed: list[memoryview]) -> None:
        # Taken out, for the executor keeps its arguments a little longer than until all is done:
        # the weight is gone when the future says that it is written.
        self._write(key, handed.pop())

    def _take_oldest(self) -> None:
        key, count, written = self._given[0]
        written.result()
        self._given.popleft()
        self._bytes -= count
        self._on_written(key, count)
