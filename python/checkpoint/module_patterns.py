"""Which modules an entry of compressed-tensors' `targets` means.

It is a name, `re:` and an expression, or the name of a class.

The expressions come from a file, so what they may cost is bounded: none may repeat a group, and all
together may take a second.
"""

import functools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

MAX_CHARACTERS = 2048
_MAX_REPEATS = 5
_MAX_SECONDS = 1.0
_PREFIX = "re:"
_LITERALS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_REPEAT = re.compile(r"[*+]|\{")


class PatternError(ValueError):
    """An entry that is not read; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module by the names that a folder's writer may have called it, and its class."""

    names: tuple[str, ...]
    kind: str


class Targets:
    """The `targets` of several groups; a module belongs to the group of its most specific entry."""

    def __init__(self, entries: Sequence[tuple[str, int]]) -> None:
        """entries: (entry, number of its group). Raises PatternError."""
        self._names = {text: group for text, group in entries if not text.startswith(_PREFIX)}
        expressions = sorted(entry for entry in entries if entry[0].startswith(_PREFIX))
        self._expressions = [(_compile(text), group) for text, group in expressions]
        self._left = _MAX_SECONDS

    def group_of(self, module: Module) -> int | None:
        """The number of the module's group; an exact name before an expression before a class."""
        for name in module.names:
            if name in self._names:
                return self._names[name]
        for pattern, group in self._expressions:
            if any(self._matches(pattern, name) for name in module.names):
                return group
        return self._names.get(module.kind)

    def _matches(self, pattern: re.Pattern[str], name: str) -> bool:
        started = time.monotonic()
        found = pattern.match(name) is not None
        self._left -= time.monotonic() - started
        if self._left < 0:
            raise PatternError(f"{pattern.pattern!r:.60} takes too long to match")
        return found


@functools.cache
def _compile(text: str) -> re.Pattern[str]:
    pattern = text.removeprefix(_PREFIX)
    if len(pattern) > MAX_CHARACTERS:
        raise PatternError(
            f"an expression has {len(pattern)} characters (at most {MAX_CHARACTERS})"
        )
    plain = _LITERALS.sub("x", pattern)
    if re.search(r"\)(?:[*+]|\{)", plain):
        raise PatternError(f"{pattern!r:.60} repeats a group, which is not read")
    if len(_REPEAT.findall(plain)) > _MAX_REPEATS:
        raise PatternError(f"{pattern!r:.60} has more than {_MAX_REPEATS} repetitions")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"{pattern!r:.60} is no regular expression: {error}") from None
