"""Tests of strict_json."""

from pathlib import Path

import pytest

from python.artifact import strict_json
from python.console.errors import FormatError


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "is not JSON"),
        (b'{"a": 1} x', "is not JSON"),
        (b'{"a": 1, "a": 2}', "key 'a' occurs twice"),
        (b'{"a": {"b": 1, "b": 1}}', "key 'b' occurs twice"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e400]", "is not finite"),
        (b"[" + b"9" * 5000 + b"]", "beyond 64 bits"),
        (b'"\xff"', "is not UTF-8"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"\\udc00": 1}', "lone surrogate"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_refused(text: bytes, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as error:
        strict_json.parse(text, "a.json")
    assert str(error.value).startswith("a.json: ")
    assert len(str(error.value)) < 200


def test_accepted() -> None:
    assert strict_json.parse('{"é": [1, -2.5, "\\u00e9", null, true]}'.encode(), "x") == {
        "é": [1, -2.5, "é", None, True]
    }


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"[1, 2]")
    assert strict_json.read(path, 6) == [1, 2]
    with pytest.raises(FormatError, match="larger than 5 bytes"):
        strict_json.read(path, 5)


def test_fields() -> None:
    fields = strict_json.Fields(
        {"a": 1, "b": None, "c": "x", "d": 0.5, "e": True, "f": [1], "g": {}}, "p", "'top'"
    )
    assert fields.integer("a", 0, 1) == 1
    assert fields.is_null("b")
    assert not fields.is_null("c")
    assert fields.choice("c", ("x", "y")) == "x"
    assert fields.number("d", 0, 1) == 0.5
    assert fields.boolean("e")
    assert fields.items("f") == [1]
    assert fields.mapping("g") == {}
    fields.finish()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({}, "'top' has no 'a'"),
        ({"a": True}, "'a' of 'top' must be an integer, it is a boolean"),
        ({"a": 1.0}, "must be an integer, it is a number"),
        ({"a": "1"}, "must be an integer, it is a string"),
        ({"a": 5}, "is 5, not within 0 to 4"),
        ([], "'top' must be an object, it is a list"),
    ],
)
def test_fields_refuse(value: object, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        strict_json.Fields(value, "p", "'top'").integer("a", 0, 4)


def test_a_key_left_over() -> None:
    with pytest.raises(FormatError, match="'top' has unknown keys: 'a', 'b'"):
        strict_json.Fields({"b": 1, "a": 2}, "p", "'top'").finish()
