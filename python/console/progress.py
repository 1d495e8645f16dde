"""Progress of a long job, on stderr: stage, n/N, GB, GB/s, elapsed, ETA and resident memory.

    with Progress("quantize", total=len(names), total_bytes=size, mode=progress_mode()) as progress:
        for name in names:
            ...
            progress.advance(bytes_done=info.bytes)

A bar on a terminal (`auto`), one line every few seconds elsewhere (`plain`), one JSON object a line
(`json`), or nothing (`none`). Standard output is never touched: it belongs to results.
"""

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

import tqdm
from absl import flags

from python.console import notes, sizes

MODES = ("auto", "plain", "json", "none")
_SECONDS_BETWEEN_LINES = 2.0
_SECONDS_BEFORE_FIRST_LINE = 1.0


def define_progress_flag() -> flags.FlagHolder[str]:
    """Gives the program the flag `--progress`; call it once, beside the program's other flags."""
    return flags.DEFINE_enum(
        "progress", "auto", MODES,
        "How to report progress on stderr: a bar on a terminal and lines elsewhere "
        "(auto), lines (plain), one JSON object a line (json), or nothing (none)."
    )  # fmt: skip


def progress_mode() -> str:
    """What --progress asks for; `none` where --quiet was given."""
    return "none" if notes.QUIET.value else str(flags.FLAGS["progress"].value)


def resident_bytes(key: str = "VmRSS") -> int:
    """Memory of this process: resident now (`VmRSS`) or at its peak (`VmHWM`); 0 where unknown."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


class Progress:
    """One stage of a job. `total` counts items, `total_bytes` their bytes (None: unknown)."""

    def __init__(
        self,
        stage: str,
        *,
        total: int,
        total_bytes: int | None = None,
        mode: str = "auto",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"progress mode {mode!r} is none of {', '.join(MODES)}")
        self._stage = stage
        self._total = total
        self._total_bytes = total_bytes
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._start = clock()
        self._last_report = self._start - _SECONDS_BETWEEN_LINES + _SECONDS_BEFORE_FIRST_LINE
        self._done = 0
        self._bytes = 0
        self._item = ""
        self._skipped = 0
        self._skipped_bytes = 0
        self._mode = mode
        if mode == "auto":
            self._mode = "bar" if self._stream.isatty() else "plain"
        self._bar: Any = None
        if self._mode == "bar":
            self._bar = tqdm.tqdm(
                total=total_bytes or total, desc=stage, file=self._stream,
                bar_format="{desc} {bar} {postfix}",
                dynamic_ncols=True, mininterval=0.1,
            )  # fmt: skip

    def skip(self, *, items: int, bytes_done: int) -> None:
        """Counts work that an earlier run did: done, but not part of the rate."""
        self._skipped += items
        self._skipped_bytes += bytes_done
        self.advance(items=items, bytes_done=bytes_done)

    def advance(self, item: str = "", *, items: int = 1, bytes_done: int = 0) -> None:
        """Counts `items` more as done; `item` names the last of them."""
        self._done += items
        self._bytes += bytes_done
        self._item = item
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures(), refresh=False)
            self._bar.update(bytes_done if self._total_bytes else items)
        elif self._clock() - self._last_report >= _SECONDS_BETWEEN_LINES:
            self._report()

    def close(self, *, finished: bool = True) -> None:
        """Reports the last state: always, unless the whole stage took less than a second."""
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures(), refresh=True)
            self._bar.close()
        elif not finished or self._clock() - self._start >= _SECONDS_BEFORE_FIRST_LINE:
            self._report(state="done" if finished else "stopped")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(finished=kind is None)

    def _elapsed(self) -> float:
        return self._clock() - self._start

    def _rate(self) -> float:
        """Bytes a second, or items a second where no bytes are counted; of this run alone."""
        elapsed = self._elapsed()
        done = (
            self._bytes - self._skipped_bytes if self._total_bytes else self._done - self._skipped
        )
        return done / elapsed if elapsed > 0 else 0.0

    def _eta_seconds(self) -> float | None:
        rate = self._rate()
        left = self._total_bytes - self._bytes if self._total_bytes else self._total - self._done
        return left / rate if rate > 0 else None

    def _figures(self) -> str:
        share = (
            self._bytes / self._total_bytes
            if self._total_bytes
            else self._done / max(1, self._total)
        )
        parts = [f"{self._done}/{self._total}", f"{100 * share:.0f}%"]
        if self._total_bytes:
            parts += [sizes.format_bytes(self._bytes), f"{sizes.format_bytes(self._rate())}/s"]
        parts.append(f"elapsed {sizes.format_duration(self._elapsed())}")
        eta = self._eta_seconds()
        if eta is not None and self._done < self._total:
            parts.append(f"ETA {sizes.format_duration(eta)}")
        parts.append(f"RSS {sizes.format_bytes(resident_bytes())}")
        return "  ".join(parts)

    def _report(self, state: str = "running") -> None:
        self._last_report = self._clock()
        if self._mode == "plain":
            ending = f"  {self._item}" if state == "running" and self._item else f"  {state}"
            print(f"{self._stage}  {self._figures()}{ending}", file=self._stream, flush=True)
        elif self._mode == "json":
            eta = self._eta_seconds()
            record = {
                "stage": self._stage, "state": state, "done": self._done, "total": self._total,
                "bytes": self._bytes, "total_bytes": self._total_bytes,
                "bytes_per_second": round(self._rate()) if self._total_bytes else None,
                "elapsed_seconds": round(self._elapsed(), 3),
                "eta_seconds": None if eta is None else round(eta, 3),
                "resident_bytes": resident_bytes(), "item": self._item,
            }  # fmt: skip
            print(json.dumps(record, sort_keys=True), file=self._stream, flush=True)
