"""Tests of conversations as calibration sequences."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from python.checkpoint.checkpoint import HuggingFaceTokenizer
from python.console.errors import UserError
from python.quant.calibration.calibration_chats import packed, read_calibration_chats
from python.text.testing import tiny_tokenizer
from python.text.text_tokenizer import tokenizer_of

_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "{{ message['content'] }}{% endfor %}"
)


def _source(folder: Path, template: str | None = _TEMPLATE) -> HuggingFaceTokenizer:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(tiny_tokenizer.tiny_json()))
    return HuggingFaceTokenizer(path=path, config={}, chat_template=template)


def _bos(folder: Path) -> int:
    return tokenizer_of(_source(folder)).special("<bos>")


def _chat(content: str, role: str = "user") -> str:
    return json.dumps({"messages": [{"role": role, "content": content}]})


def _read(folder: Path, lines: list[str], max_tokens: int = 6, **source: Any) -> list[list[int]]:
    path = folder / "chats.jsonl"
    path.write_text("\n".join(lines))
    text = read_calibration_chats(path, _source(folder, **source), _bos(folder), max_tokens)
    assert text.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return text.tokens.tolist()


def test_chats_fill_a_sequence_and_marks_are_tokens(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(_source(tmp_path))
    ab, bos = tokenizer.encode("ab")[0], _bos(tmp_path)
    assert tokenizer.encode("<bos>") != [bos]  # as text it is none
    found = _read(tmp_path, [_chat("abab"), "", _chat("ababab"), _chat("ab")])
    assert found == [[bos, ab, ab, bos, ab, ab]]


def test_each_sequence_begins_with_a_chat() -> None:
    chats = [[1, 2, 3], [1, 4], [1, 5, 6, 7, 8], [1, 9], [1, 9, 9]]
    assert packed(iter(chats), 4, 9).tolist() == [[1, 2, 3, 1], [1, 5, 6, 7], [1, 9, 1, 9]]
    assert packed(iter(chats), 4, 1).tolist() == [[1, 2, 3, 1]]
    assert packed(iter(chats), 99, 1).shape == (0, 99)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["{"], "chats.jsonl line 1 is no JSON"),
        ([_chat("ab"), '{"text": "ab"}'], "chats.jsonl line 2 is no conversation"),
        (['{"messages": []}'], "line 1 is no conversation"),
        ([_chat("ab", role="system")], r"line 1: the chat template refuses it \(no system turns\)"),
        ([_chat("ab")], "does not fill a sequence of 6 tokens; add conversations"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, lines: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        _read(tmp_path, lines)


def test_templates_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the checkpoint has no chat template"):
        _read(tmp_path, [_chat("ab")], template=None)
    with pytest.raises(UserError, match="the checkpoint's chat template is damaged"):
        _read(tmp_path, [_chat("ab")], template="{% for %}")
    with pytest.raises(UserError, match="the chat template refuses it"):
        _read(tmp_path, [_chat("ab")], template="{{ messages[0].content.__class__.mro() }}")
