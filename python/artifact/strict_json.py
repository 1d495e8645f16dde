"""JSON from untrusted files: what is not exactly as expected is refused, in one sentence.

Refused: duplicate keys, NaN and infinities, integers beyond 64 bits, lone surrogates, bytes that
are no UTF-8, deep nesting. `Fields` then reads an object key by key; a key that is missing, of
another type, or left over is an error.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from python.console.errors import FormatError

_INT64_DIGITS = 20  # with the sign


def parse(data: bytes, where: object) -> Any:
    """The value of a JSON document. Raises FormatError; `where` is the file's path."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise FormatError(where, f"key {twice!r:.80} occurs twice")
        return result

    def integer(digits: str) -> int:
        if len(digits) > _INT64_DIGITS:
            raise FormatError(where, f"number {digits[:30]}... is beyond 64 bits")
        return int(digits)

    def real(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise FormatError(where, f"number {digits[:30]} is not finite")
        return value

    def constant(name: str) -> float:
        raise FormatError(where, f"{name} is not JSON")

    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=unique,
            parse_int=integer,
            parse_float=real,
            parse_constant=constant,
        )
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(where, f"is not UTF-8 (byte {error.start})") from None
    except UnicodeEncodeError:
        raise FormatError(where, "holds a lone surrogate") from None
    except json.JSONDecodeError as error:
        raise FormatError(where, f"is not JSON: {error.msg} at byte {error.pos}") from None
    except RecursionError:
        raise FormatError(where, "is nested too deeply") from None
    return value


def read(path: Path, max_bytes: int) -> Any:
    """The value of a JSON file of at most `max_bytes`."""
    with open(path, "rb") as file:
        # read(n) takes memory for n bytes, however few there are.
        data = file.read(min(max_bytes, os.fstat(file.fileno()).st_size) + 1)
    if len(data) > max_bytes:
        raise FormatError(path, f"is larger than {max_bytes} bytes")
    return parse(data, path)


class Fields:
    """A JSON object that is read key by key. `name` says which object, for the sentences."""

    def __init__(self, value: object, where: object, name: str = "the document") -> None:
        self._where = where
        self._name = name
        if not isinstance(value, dict):
            raise FormatError(where, f"{name} must be an object, it is {_kind(value)}")
        self._left: dict[str, Any] = dict(value)

    def _take(self, key: str, kinds: tuple[type, ...], wanted: str) -> Any:
        if key not in self._left:
            raise FormatError(self._where, f"{self._name} has no {key!r}")
        value = self._left.pop(key)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.error(key, f"must be {wanted}, it is {_kind(value)}")
        return value

    def error(self, key: str, problem: str) -> FormatError:
        """A FormatError about the value of `key`."""
        return FormatError(self._where, f"{key!r} of {self._name} {problem}")

    def has(self, key: str) -> bool:
        return key in self._left

    def is_null(self, key: str) -> bool:
        """Whether `key` is there and null; then it counts as read."""
        if key in self._left and self._left[key] is None:
            del self._left[key]
            return True
        return False

    def integer(self, key: str, minimum: int = 0, maximum: int = 2**63 - 1) -> int:
        value = self._take(key, (int,), "an integer")
        if not minimum <= value <= maximum:
            raise self.error(key, f"is {value}, not within {minimum} to {maximum}")
        return int(value)

    def number(self, key: str, minimum: float, maximum: float) -> float:
        value = self._take(key, (int, float), "a number")
        if not minimum <= value <= maximum:
            raise self.error(key, f"is {value}, not within {minimum} to {maximum}")
        return float(value)

    def boolean(self, key: str) -> bool:
        return bool(self._take(key, (bool,), "true or false"))

    def text(self, key: str) -> str:
        return str(self._take(key, (str,), "a string"))

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in choices:
            raise self.error(key, f"is {value!r:.60}, none of {', '.join(choices)}")
        return value

    def items(self, key: str) -> list[Any]:
        return list(self._take(key, (list,), "a list"))

    def mapping(self, key: str) -> Mapping[str, Any]:
        value: Mapping[str, Any] = self._take(key, (dict,), "an object")
        return value

    def finish(self) -> None:
        """Raises FormatError if a key was not read."""
        if self._left:
            names = ", ".join(repr(key)[:60] for key in sorted(self._left)[:3])
            raise FormatError(self._where, f"{self._name} has unknown keys: {names}")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "a list",
    }.get(type(value), "an object")
