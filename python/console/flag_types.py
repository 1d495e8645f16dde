"""Flags of our own kinds: a path, and a count of tokens that may be written as 32k.

What must stay true: a value that a flag refuses is refused while flags are parsed, before any file
is opened, in one sentence that says what it takes.
"""

import re
from pathlib import Path
from typing import Any

from absl import flags

from python.console import main

_COUNT = re.compile(r"([0-9]{1,18})([kK]?)")
_THOUSAND = 1024  # as in the names of context lengths: 32k is 32,768


def define_path(
    name: str, default: str | None, description: str, *, required: bool = False
) -> flags.FlagHolder[Any]:
    """A flag whose value is a `Path` that starts where the user stands."""
    return flags.DEFINE(PathParser(), name, default, description, required=required)


def define_tokens(
    name: str, default: int | None, description: str, *, least: int = 1, most: int | None = None
) -> flags.FlagHolder[Any]:
    """A flag whose value is a number of tokens from `least` to `most`: 32768, or 32k for it."""
    return flags.DEFINE(TokenCountParser(least, most), name, default, description)


class PathParser(flags.ArgumentParser[Path]):
    """Text to `Path`; an empty one, as a shell makes of an unset variable, is refused."""

    syntactic_help = "a path"

    def parse(self, argument: str | Path) -> Path:
        if isinstance(argument, Path):
            return argument
        if not argument:
            raise ValueError("empty, and so no path")
        return main.user_path(argument)

    def flag_type(self) -> str:
        return "path"


class TokenCountParser(flags.ArgumentParser[int]):
    """`4096`, `4k` or `4K`, which all are 4,096."""

    def __init__(self, least: int, most: int | None) -> None:
        super().__init__()
        self._least = least
        self._most = most
        above = f"{least} or more" if most is None else f"{least} to {most}"
        self.syntactic_help = f"a number of tokens, {above} (32768, or 32k for it)"

    def parse(self, argument: str | int) -> int:
        count = argument if isinstance(argument, int) else _count(argument)
        if count is None or count < self._least or (self._most is not None and count > self._most):
            raise ValueError(f"not {self.syntactic_help}")
        return count

    def flag_type(self) -> str:
        return "tokens"


def _count(text: str) -> int | None:
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        return None
    return int(match[1]) * (_THOUSAND if match[2] else 1)
