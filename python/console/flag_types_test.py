"""Tests of flag_types: what each kind of flag takes, and the sentence where it does not."""

from pathlib import Path

import pytest
from absl import flags

from python.console import flag_types


@pytest.mark.parametrize(
    ("text", "count"),
    [("1", 1), ("4096", 4096), ("32k", 32768), ("32K", 32768), (" 8k ", 8192), ("256k", 262144)],
)
def test_token_counts(text: str, count: int) -> None:
    assert flag_types.TokenCountParser(1, None).parse(text) == count
    assert flag_types.TokenCountParser(1, count).parse(count) == count


@pytest.mark.parametrize(
    "text", ["", "0", "-4", "4.5k", "4m", "4kk", "k", "0x10", "1e3", "٤", "9" * 30, "257k"]
)
def test_what_is_no_token_count(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a number of tokens, 1 to 262144 \(32768, or 32k"):
        flag_types.TokenCountParser(1, 262144).parse(text)


def test_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", "/somewhere")
    assert flag_types.PathParser().parse("x/y") == Path("/somewhere/x/y")
    assert flag_types.PathParser().parse("/x") == Path("/x")
    assert flag_types.PathParser().parse(Path("x")) == Path("x")
    with pytest.raises(ValueError, match="empty"):
        flag_types.PathParser().parse("")


def test_flags_of_both_kinds() -> None:
    path = flag_types.define_path("a_path", None, "A path.")
    tokens = flag_types.define_tokens("some_tokens", 512, "Tokens.", least=512)
    flags.FLAGS(["program", "--a_path=/x", "--some_tokens=1k"])
    assert (path.value, tokens.value) == (Path("/x"), 1024)
    with pytest.raises(flags.IllegalFlagValueError, match="512 or more"):
        flags.FLAGS(["program", "--some_tokens=511"])
