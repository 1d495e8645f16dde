"""Tests of text_tokenizer and chat_prompt, on a small vocabulary of Gemma's form."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from python.checkpoint.checkpoint import GgufTokenizer, HuggingFaceTokenizer
from python.console.errors import FormatError, UserError
from python.export.testing.make_tiny_checkpoint import tokenizer_json
from python.inference.chat_prompt import chat_prompt, raw_prompt
from python.text.hugging_face_tokenizer import tokenizer_from_json
from python.text.text_tokenizer import TextTokenizer, from_data, tokenizer_of
from python.text.tokenizer_data import PieceKind

TEXTS = [
    "the capital of France is Paris",
    "  two  spaces   three ",
    "line\n\nline\n",
    "<turn|> is text here, and so is <bos>",
    "caf\u00e9 \u4e2d\u6587 \N{GRINNING FACE}",
    "",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    file.write_text(json.dumps(tokenizer_json(512)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> TextTokenizer:
    return tokenizer_of(HuggingFaceTokenizer(path=path, config={}))


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_and_makes_no_special_token(tokenizer: TextTokenizer, text: str) -> None:
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert not {tokenizer.special("<turn|>"), tokenizer.special("<bos>")} & set(tokens)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_and_merges_alone_give_the_same_tokens(path: Path, text: str) -> None:
    ours, theirs = from_data(tokenizer_from_json(path)), tokenizers.Tokenizer.from_file(str(path))
    for special in (True, False):
        ours.encode_special_tokens = theirs.encode_special_tokens = special
        encoded = [t.encode(text, add_special_tokens=False).ids for t in (ours, theirs)]
        assert encoded[0] == encoded[1]


def test_a_gguf_tokenizer_gives_the_same_tokens(path: Path, tokenizer: TextTokenizer) -> None:
    data = tokenizer_from_json(path)
    kinds = {PieceKind.NORMAL: 1, PieceKind.CONTROL: 3, PieceKind.BYTE: 6}
    source = GgufTokenizer(
        model="gemma4",
        tokens=data.pieces,
        scores=(),
        kinds=[kinds[PieceKind(kind)] for kind in data.kinds.tolist()],
        merges=[f"{data.pieces[left]} {data.pieces[right]}" for left, right, _ in data.merges],
        bos_id=2,
        unknown_id=3,
        add_bos=True,
        add_space_prefix=False,
    )
    rebuilt = tokenizer_of(source)
    assert [rebuilt.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def test_user_defined_pieces_come_before_merges(path: Path) -> None:
    data = tokenizer_from_json(path)
    token = data.pieces.index("<unused0>")
    pieces = tuple("\u2581\u2581" if i == token else piece for i, piece in enumerate(data.pieces))
    kinds = data.kinds.copy()
    kinds[token] = PieceKind.USER
    rebuilt = TextTokenizer(
        from_data(type(data)(**(vars(data) | {"pieces": pieces, "kinds": kinds})))
    )
    space = data.pieces.index("\u2581")
    assert rebuilt.encode("   ") == [token, space]
    assert rebuilt.decode([token, space]) == "   "
    assert np.array_equal(np.flatnonzero(kinds == PieceKind.USER), [token])


def test_a_damaged_or_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the checkpoint has no tokenizer"):
        tokenizer_of(None)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FormatError, match=r"tokenizer\.json: is not a tokenizer"):
        tokenizer_of(HuggingFaceTokenizer(path=tmp_path / "tokenizer.json", config={}))


def test_a_raw_prompt_is_bos_and_the_text(tokenizer: TextTokenizer) -> None:
    assert raw_prompt("the", tokenizer, 2) == [2, *tokenizer.encode("the")]
    assert raw_prompt("the", tokenizer, None) == tokenizer.encode("the")


def test_a_gemma4_question_closes_the_thought_channel(tokenizer: TextTokenizer) -> None:
    special, text = tokenizer.special, tokenizer.encode
    assert chat_prompt("  is <turn|> it?\n", tokenizer, "gemma4") == [
        *(special("<bos>"), special("<|turn>"), *text("user\nis <turn|> it?"), special("<turn|>")),
        *(*text("\n"), special("<|turn>"), *text("model\n")),
        *(special("<|channel>"), *text("thought\n"), special("<channel|>")),
    ]


def test_a_message_of_braces_or_brackets_stays_text(tokenizer: TextTokenizer) -> None:
    for message in ("{}", "<bos>", "{0} {}"):
        tokens = chat_prompt(message, tokenizer, "gemma4")
        assert tokens[2 : 2 + len(tokenizer.encode("user\n" + message))] == tokenizer.encode(
            "user\n" + message
        )


def test_templates_that_do_not_fit_are_refused(tokenizer: TextTokenizer) -> None:
    with pytest.raises(UserError, match="the tokenizer has no token '<start_of_turn>'"):
        chat_prompt("Hi", tokenizer, "gemma3")
    with pytest.raises(UserError, match="the checkpoint has no chat template"):
        chat_prompt("Hi", tokenizer, None)
