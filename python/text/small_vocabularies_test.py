"""C++ against Hugging Face's `tokenizers` on small random vocabularies (tokenizer.json)."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from python.text.generated_texts import TextGenerator
from python.text.hugging_face_oracle import compare_decoding, compare_encoding, random_ids
from python.text.tokenize_program import TokenizeProgram
from python.text.tokenizer_data import SPACE
from python.text.tokenizer_file import PieceKind, serialize, tokenizer_from_json

_LETTERS = "ab<>|né漢😀-=\n" + SPACE


def random_tokenizer_json(seed: int) -> dict[str, Any]:
    """A tokenizer.json in Gemma's form: random pieces, merges in random order, added tokens."""
    source = random.Random(seed)  # noqa: S311 (not for secrets)
    pieces = [f"<0x{byte:02X}>" for byte in range(256)] + list(_LETTERS)
    merges = []
    mergeable = list(_LETTERS)
    for _ in range(150):
        left, right = source.choice(mergeable), source.choice(mergeable)
        if len(left + right) > 10 or [left, right] in merges:
            continue
        if left + right not in mergeable:
            mergeable.append(left + right)
            pieces.append(left + right)
        merges.append([left, right])
    source.shuffle(merges)
    specials = ["<bos>", "<|turn>", "<turn|>", "<unk>"]
    users = ["\n", "\n\n", "<b>", "<|", SPACE * 2, *source.sample(mergeable, 3)]
    added = dict.fromkeys(specials, True) | {user: False for user in users if user not in specials}
    pieces += [piece for piece in added if piece not in pieces]
    return tokenizer_json({piece: index for index, piece in enumerate(pieces)}, merges, added)


def tokenizer_json(
    vocab: dict[str, int], merges: list[list[str]], added: dict[str, bool]
) -> dict[str, Any]:
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    restore = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocab[piece], "content": piece, **flags, "special": special}
            for piece, special in added.items()
        ],
        "normalizer": replace,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [restore, {"type": "ByteFallback"}, {"type": "Fuse"}],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }


@pytest.mark.parametrize("seed", range(8))
def test_small_vocabulary(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(random_tokenizer_json(seed)))
    data = tokenizer_from_json(path)
    (tmp_path / "tokenizer.bin").write_bytes(serialize(data))
    ours, theirs = TokenizeProgram(tmp_path / "tokenizer.bin"), Tokenizer.from_file(str(path))
    added = [data.pieces[token] for token in data.ids(PieceKind.CONTROL) + data.ids(PieceKind.USER)]
    source = random.Random(seed)  # noqa: S311 (not for secrets)
    texts = TextGenerator(seed, added).texts(200) + [
        "".join(source.choices([*_LETTERS, " ", *added], k=source.randint(0, 40)))
        for _ in range(800)
    ]
    for parse_special in (True, False):
        result = compare_encoding(ours, theirs, texts, parse_special=parse_special)
        assert not result.mismatches, result.mismatches[:3]
    ids = random_ids(500, len(data.pieces), data.ids(PieceKind.BYTE), seed)
    for keep_special in (True, False):
        result = compare_decoding(ours, theirs, ids, keep_special=keep_special)
        assert not result.mismatches, result.mismatches[:3]
