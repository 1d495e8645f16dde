"""Compares the C++ tokenizer with Hugging Face's `tokenizers`: texts to ids, and ids to texts.

Special tokens as text are `encode_special_tokens` there, and not `parse_special` here.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from python.text.testing.cc_tokenizer import CcTokenizer


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How many cases were compared, the first few that differ, and what both took."""

    cases: int
    mismatches: tuple[str, ...]
    seconds: float  # of the C++ tokenizer, without JSON
    reference_seconds: float
    text_bytes: int

    def __str__(self) -> str:
        speed = self.text_bytes / 1e6
        return (
            f"{self.cases} cases, {len(self.mismatches)} mismatches, {speed:.2f} MB:"
            f" {speed / max(self.seconds, 1e-9):.1f} MB/s,"
            f" tokenizers {speed / max(self.reference_seconds, 1e-9):.1f} MB/s"
        )


def compare_encoding(
    ours: CcTokenizer, theirs: Tokenizer, texts: Sequence[str], *, parse_special: bool
) -> Comparison:
    """Both encode all texts."""
    theirs.encode_special_tokens = not parse_special
    start = time.process_time()
    expected = [theirs.encode(text, add_special_tokens=False).ids for text in texts]
    reference_seconds = time.process_time() - start
    found = ours.encode(texts, parse_special=parse_special)
    return Comparison(
        cases=len(texts),
        mismatches=_differences(texts, found, expected),
        seconds=ours.timings["convert_seconds"],
        reference_seconds=reference_seconds,
        text_bytes=sum(len(text.encode()) for text in texts),
    )


def compare_decoding(
    ours: CcTokenizer, theirs: Tokenizer, ids: Sequence[Sequence[int]], *, keep_special: bool
) -> Comparison:
    """Both decode all lists of ids."""
    start = time.process_time()
    expected = [theirs.decode(list(one), skip_special_tokens=not keep_special) for one in ids]
    reference_seconds = time.process_time() - start
    found = ours.decode(ids, keep_special=keep_special)
    return Comparison(
        cases=len(ids),
        mismatches=_differences(ids, found, expected),
        seconds=ours.timings["convert_seconds"],
        reference_seconds=reference_seconds,
        text_bytes=sum(len(text.encode()) for text in expected),
    )


def random_ids(count: int, pieces: int, byte_ids: Sequence[int], seed: int) -> list[list[int]]:
    """Lists of ids in which runs of byte pieces, right and wrong, are frequent."""
    source = random.Random(seed)  # noqa: S311 (not for secrets)
    lists = []
    for _ in range(count):
        ids: list[int] = []
        for _ in range(source.randint(0, 6)):
            if source.random() < 0.3:
                character = chr(source.choice((0x41, 0xE9, 0x20AC, 0x1F600)))
                ids += [byte_ids[byte] for byte in character.encode()[: source.randint(1, 4)]]
            elif source.random() < 0.3:
                ids.append(source.choice(byte_ids))
            else:
                ids.append(source.randrange(pieces))
        lists.append(ids)
    return lists


def _differences(
    given: Sequence[object], found: Sequence[object], expected: Sequence[object]
) -> tuple[str, ...]:
    assert len(found) == len(expected) == len(given)
    return tuple(
        f"{case!r:.300}: {mine!r:.300} instead of {right!r:.300}"
        for case, mine, right in zip(given, found, expected, strict=True)
        if mine != right
    )
