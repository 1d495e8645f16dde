"""tokenizer.json: what is read, and that all that would change the ids is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from python.console.errors import FormatError
from python.text.hugging_face_tokenizer import tokenizer_from_json
from python.text.testing.tiny_tokenizer import tiny_json
from python.text.tokenizer_data import PieceKind, TokenizerData


def read(document: object, folder: Path) -> TokenizerData:
    path = folder / "tokenizer.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return tokenizer_from_json(path)


def test_reads_pieces_kinds_and_merges(tmp_path: Path) -> None:
    data = read(tiny_json(), tmp_path)
    assert data.pieces[256:] == ("a", "b", "ab", "<bos>", "<b>")
    assert data.kinds.tolist() == [PieceKind.BYTE] * 256 + [
        0,
        0,
        0,
        PieceKind.CONTROL,
        PieceKind.USER,
    ]
    assert data.merges.tolist() == [[256, 257, 258]]
    assert (data.bos_id, data.add_bos) == (259, True)


def test_old_and_harmless_forms_are_read(tmp_path: Path) -> None:
    document = tiny_json()
    document["model"]["merges"] = ["a b"]
    document["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"String": " "},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<bos>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
    }
    assert read(document, tmp_path).merges.tolist() == [[256, 257, 258]]


def test_added_tokens_may_lie_beyond_the_vocabulary(tmp_path: Path) -> None:
    document = tiny_json()
    document["added_tokens"].append(
        {**document["added_tokens"][0], "id": 261, "content": "<image>"}
    )
    data = read(document, tmp_path)
    assert data.pieces[261] == "<image>"
    assert data.fitted_to(261).pieces == data.pieces[:261]


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


def rename_first_byte(document: dict[str, Any]) -> None:
    vocab = document["model"]["vocab"]
    vocab["zero"] = vocab.pop("<0x00>")


REFUSED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "normalizer 'NFKC'": put("normalizer", value={"type": "NFKC"}),
    "normalizer null": put("normalizer", value=None),
    "pre_tokenizer 'ByteLevel'": put("pre_tokenizer", value={"type": "ByteLevel"}),
    "decoder 'ByteLevel'": put("decoder", value={"type": "ByteLevel"}),
    "post_processor 'BertProcessing'": put("post_processor", value={"type": "BertProcessing"}),
    "model 'Unigram'": put("model", "type", value="Unigram"),
    "'dropout' of the model": put("model", "dropout", value=0.1),
    "'continuing_subword_prefix'": put("model", "continuing_subword_prefix", value="##"),
    "'ignore_merges'": put("model", "ignore_merges", value=True),
    "'byte_fallback'": put("model", "byte_fallback", value=False),
    "'truncation'": put("truncation", value={"max_length": 5}),
    "unknown keys: 'surprise'": put("surprise", value=1),
    "unknown keys: 'other'": put("model", "other", value=1),
    "has lstrip": put("added_tokens", 0, "lstrip", value=True),
    "has normalized": put("added_tokens", 0, "normalized", value=True),
    "has id 7, in the vocabulary 259": put("added_tokens", 0, "id", value=7),
    "needs the piece 'c'": put("model", "merges", 0, value=["a", "c"]),
    "needs the piece 'ba'": put("model", "merges", 0, value=["b", "a"]),
    "merge 0 is": put("model", "merges", 0, value=["a", "b", "c"]),
    "'vocab' of the model has an id": put("model", "vocab", "a", value="x"),
    "an id that is not a number from 0": put("model", "vocab", "a", value=-1),
    "missing or taken twice": put("model", "vocab", "a", value=257),
    "lone surrogate": put("model", "vocab", "\ud800", value=261),
    "has no 'merges'": lambda document: document["model"].pop("merges"),
    "1 of the 256 byte pieces are missing, <0x00>": rename_first_byte,
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_would_change_the_ids_is_refused(sentence: str, tmp_path: Path) -> None:
    document = tiny_json()
    REFUSED[sentence](document)
    with pytest.raises(FormatError, match=sentence) as refused:
        read(document, tmp_path)
    assert str(refused.value).startswith(str(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model": 1}', "[" * 100_000, "null"])
def test_damaged_files_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        read(text, tmp_path)
