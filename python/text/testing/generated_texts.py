"""Texts that are hard for a tokenizer, from a seed: a test's inputs.

Runs of spaces, line feeds and tabs, many scripts, emoji sequences, combining marks, code points
that are unassigned or private (byte fallback), special tokens whole and in part, byte pieces
spelled out, U+2581 itself. No surrogates: UTF-8 has none.
"""

import random
from collections.abc import Callable, Sequence

_WORDS = (
    "the", "The", "of", "and", "return", "international", "isn't", "self.value", "def", "x+=1",
    "https://example.org/a?b=c&d", "3.14159", "2024-01-01", "1,000,000", "{\"key\": [1, 2]}",
    "Straße", "naïve", "Zażółć", "Ελληνικά", "привет", "שלום", "العربية", "हिन्दी", "ภาษาไทย",
    "한국어", "日本語", "汉字", "ქართული", "አማርኛ", "tiếng Việt", "...", "!!!", "->", "&amp;",
    "> </",
    "<table>", "</td>", "<b>", "</b>", "<h1>", "[multimodal]", "<bbox>",
)  # fmt: skip
_EMOJI = (
    "😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇺🇳", "☠️", "1️⃣", "🧑🏿‍🚀", "😶‍🌫️",
)  # fmt: skip
_MARKS = "\u0301\u0308\u0327\u0483\u05bc\u064b\u093c\u0e31\u20dd\ufe0f\u200d\u200b\u200f"
_RANGES = (
    (0x00, 0x7F), (0x80, 0x24F), (0x370, 0x58F), (0x900, 0xDFF), (0x1E00, 0x20CF), (0x2500, 0x27BF),
    (0x2581, 0x2581), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    (0x378, 0x379), (0xE000, 0xF8FF), (0xFFF0, 0xFFFF), (0x10000, 0x1FFFF), (0x40000, 0x4FFFF),
    (0xE0000, 0xE01FF), (0x10FFFE, 0x10FFFF),
)  # fmt: skip


class TextGenerator:
    """Makes texts. `specials`: the added tokens of the vocabulary that is tested."""

    def __init__(self, seed: int, specials: Sequence[str]) -> None:
        self._random = random.Random(seed)  # noqa: S311 (not for secrets)
        self._specials = tuple(specials)
        self._kinds: tuple[Callable[[], str], ...] = (
            self._words, self._words, self._words, self._run, self._run, self._characters,
            self._emoji, self._marked, self._special, self._spelled,
        )  # fmt: skip

    def texts(self, count: int) -> list[str]:
        return [self.text() for _ in range(count)]

    def text(self) -> str:
        parts = self._random.choice((1, 2, 3, 5, 8))
        return "".join(self._random.choice(self._kinds)() for _ in range(parts))

    def _words(self) -> str:
        between = self._random.choice((" ", " ", " ", "", "  ", "\n", " \n", "\t", "\u2581"))
        return between + between.join(self._random.choices(_WORDS, k=self._random.randint(1, 4)))

    def _run(self) -> str:
        unit = self._random.choice(
            (" ", "\n", "\t", "\r\n", "\u2581", " \u2581", "=", "-", "a", "\0")
        )
        return unit * self._random.choice((1, 2, 3, 4, 7, 15, 16, 30, 31, 32, 33, 65))

    def _characters(self) -> str:
        first, last = self._random.choice(_RANGES)
        return "".join(
            chr(self._random.randint(first, last)) for _ in range(self._random.randint(1, 8))
        )

    def _emoji(self) -> str:
        return "".join(self._random.choices(_EMOJI, k=self._random.randint(1, 3)))

    def _marked(self) -> str:
        letters = self._random.choices("aeoinAZкשع", k=self._random.randint(1, 4))
        return "".join(letter + self._random.choice(_MARKS) for letter in letters)

    def _special(self) -> str:
        token = self._random.choice(self._specials)
        if self._random.random() < 0.5:
            return token
        begin = self._random.randint(0, len(token))
        return token[begin : self._random.randint(begin, len(token))]

    def _spelled(self) -> str:
        return self._random.choice(
            (
                f"<0x{self._random.randrange(256):02X}>",
                "<0x4",
                "<0xZZ>",
                "<0x-1>",
                "<|",
                "|>",
                "<",
                ">",
            )
        )
