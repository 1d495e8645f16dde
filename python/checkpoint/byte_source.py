"""Positioned reads of an untrusted regular file; sizes are checked before memory is taken.

Invariant: nothing is mapped into memory, so a file that shrinks while it is read is an error and
never a signal.
"""

import os
import stat
from pathlib import Path

import numpy as np

from python.console.errors import FormatError

_ADVICE_BYTES = 1 << 17  # of longer advice Linux heeds only what the disk reads ahead at once


def checked_product(factors: tuple[int, ...], limit: int) -> int | None:
    """The product of non-negative numbers, or None where it would exceed `limit`."""
    product = 1
    for factor in factors:
        product *= factor
        if product > limit and 0 not in factors:
            return None
    return product


class ByteSource:
    """An open file. `size` is its size when it was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        # Without O_NONBLOCK the opening of a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise FormatError(path, "is not a regular file")
        self._descriptor = descriptor
        self.size = status.st_size

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset`. For headers; tensors go through `read_into`."""
        return self.read_array(offset, count).tobytes()

    def read_array(self, offset: int, count: int) -> np.ndarray:
        """Exactly `count` bytes from `offset` as a new uint8 array [count]."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise FormatError(
                self.path,
                f"is truncated: bytes {offset} to {offset + count} are needed, it has {self.size}",
            )
        data = np.empty(count, dtype=np.uint8)
        self.read_into(offset, data)
        return data

    def read_into(self, offset: int, destination: np.ndarray) -> None:
        """Fills `destination`, uint8 [n], from `offset`."""
        done = 0
        while done < len(destination):
            count = os.preadv(
                self._descriptor, [destination[done : done + (1 << 30)].data], offset + done
            )
            if count == 0:
                raise FormatError(
                    self.path,
                    f"ends at byte {offset + done} now, it had {self.size} bytes when it was "
                    "opened",
                )
            done += count

    def will_read(self, offset: int, count: int) -> None:
        """Lets the disk begin to read these bytes, while the caller does something else.

        A hint: nothing waits for it, and reading is as correct without it.
        """
        for start in range(offset, offset + count, _ADVICE_BYTES):
            os.posix_fadvise(self._descriptor, start, _ADVICE_BYTES, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()
