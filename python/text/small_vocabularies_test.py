"""C++ against Hugging Face's `tokenizers` on small random vocabularies (tokenizer.json)."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from python.text.hugging_face_tokenizer import tokenizer_from_json
from python.text.testing.cc_tokenizer import CcTokenizer
from python.text.testing.generated_texts import TextGenerator
from python.text.testing.hugging_face_oracle import compare_decoding, compare_encoding, random_ids
from python.text.testing.tiny_tokenizer import tokenizer_json
from python.text.tokenizer_data import SPACE, PieceKind
from python.text.tokenizer_file import serialize

_LETTERS = "ab<>|né漢😀-=\n" + SPACE


def random_tokenizer_json(seed: int) -> dict[str, Any]:
    """A tokenizer.json in Gemma's form: random pieces, merges in random order, added tokens."""
    source = random.Random(seed)
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


@pytest.mark.parametrize("seed", range(8))
def test_small_vocabulary(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(random_tokenizer_json(seed)))
    data = tokenizer_from_json(path)
    (tmp_path / "tokenizer.bin").write_bytes(serialize(data))
    ours, theirs = CcTokenizer(tmp_path / "tokenizer.bin"), Tokenizer.from_file(str(path))
    added = [data.pieces[token] for token in data.ids(PieceKind.CONTROL) + data.ids(PieceKind.USER)]
    source = random.Random(seed)
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
