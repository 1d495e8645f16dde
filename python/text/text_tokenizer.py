"""Text to tokens and back for the eager programs, by Hugging Face's `tokenizers` library.

The C++ runner has a tokenizer of its own; this is the independent second one. Invariant: what a
user wrote never becomes a special token; only `special` makes one, and `encode_marked`, which serves
files that were chosen for calibration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import tokenizers
from tokenizers import decoders, models, normalizers

from python.checkpoint.checkpoint import GgufTokenizer, HuggingFaceTokenizer, TokenizerSource
from python.console.errors import FormatError, UserError
from python.text.gguf_tokenizer import tokenizer_from_gguf
from python.text.tokenizer_data import PieceKind, TokenizerData

_BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")
SPACE = "\u2581"  # how pieces write a space


class TextTokenizer:
    """Encodes and decodes with one checkpoint's vocabulary."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True  # text that spells one stays text

    def encode(self, text: str) -> list[int]:
        """The tokens of plain text, without BOS."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_marked(self, text: str) -> list[int]:
        """The tokens of a rendered template: what spells a special token is one. Not for users."""
        self._tokenizer.encode_special_tokens = False
        try:
            return self.encode(text)
        finally:
            self._tokenizer.encode_special_tokens = True

    def piece(self, token: int) -> str:
        """How a token is spelled. Raises UserError for one that there is not."""
        text = self._tokenizer.id_to_token(token)
        if text is None:
            raise UserError(f"the tokenizer has no token {token}")
        return str(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; special ones have none."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def is_byte(self, token: int) -> bool:
        """Whether the token is one byte of a character, or of what is no character."""
        return _BYTE_PIECE.fullmatch(self._tokenizer.id_to_token(token) or "") is not None

    def special(self, text: str) -> int:
        """The id of the special token spelled `text`. Raises UserError if there is none."""
        token = self._tokenizer.token_to_id(text)
        if token is None:
            raise UserError(f"the tokenizer has no token {text!r} (use --raw to write a prompt)")
        return int(token)


def tokenizer_of(source: TokenizerSource | None) -> TextTokenizer:
    """The tokenizer of a checkpoint. Raises UserError where it has none, FormatError if damaged."""
    if source is None:
        raise UserError("the checkpoint has no tokenizer, so it takes no text")
    if isinstance(source, GgufTokenizer):
        return TextTokenizer(from_data(tokenizer_from_gguf(_metadata(source))))
    assert isinstance(source, HuggingFaceTokenizer)
    try:
        return TextTokenizer(tokenizers.Tokenizer.from_file(str(source.path)))
    except Exception as error:  # the library raises plain Exception
        raise FormatError(source.path, f"is not a tokenizer ({error})") from None


def from_data(data: TokenizerData) -> tokenizers.Tokenizer:
    """Hugging Face's tokenizer of the same pieces and merges."""
    pieces = data.pieces
    vocabulary = {
        piece: token for token, piece in enumerate(pieces) if data.kinds[token] != PieceKind.UNUSED
    }
    merges = [(pieces[left], pieces[right]) for left, right, _ in data.merges.tolist()]
    model = models.BPE(vocabulary, merges, byte_fallback=True, fuse_unk=True)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(_added(data, PieceKind.CONTROL, normalized=False))
    tokenizer.add_tokens(
        _added(data, PieceKind.USER, normalized=True)
    )  # they spell spaces as U+2581
    return tokenizer


def _added(
    data: TokenizerData, kind: PieceKind, *, normalized: bool
) -> list[tokenizers.AddedToken]:
    special = kind == PieceKind.CONTROL
    return [
        tokenizers.AddedToken(data.pieces[token], special=special, normalized=normalized)
        for token in data.ids(kind)
    ]


def _metadata(source: GgufTokenizer) -> dict[str, object]:
    """The keys that `tokenizer_from_gguf` reads; empty lists are keys that the file lacks."""
    values = {
        "model": source.model,
        "tokens": source.tokens,
        "scores": list(source.scores) or None,
        "token_type": source.kinds,
        "merges": list(source.merges) or None,
        "bos_token_id": source.bos_id,
        "add_bos_token": source.add_bos,
        "add_space_prefix": source.add_space_prefix,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in values.items() if value is not None}
