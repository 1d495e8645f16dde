"""The tokenizer of a GGUF file, from its metadata.

`tokenizer.ggml.model` "llama" (Gemma 3) holds SentencePiece scores, "gemma4" a list of merges. What
the metadata asks for and this project does not do is refused by name.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from python.console.errors import FormatError
from python.text.merges import merges_from_pairs, merges_from_scores
from python.text.tokenizer_data import MAX_MERGES, MAX_PIECES, SPACE, PieceKind, TokenizerData

_KINDS = {
    1: PieceKind.NORMAL,
    2: PieceKind.CONTROL,  # the unknown token; byte pieces cover all text, so nothing else makes it
    3: PieceKind.CONTROL,
    4: PieceKind.USER,
    5: PieceKind.UNUSED,
    6: PieceKind.BYTE,
}
_MERGEABLE = (PieceKind.NORMAL, PieceKind.USER)

# Finding the merges of a piece takes the square of its length; Gemma's longest has 31 characters.
_MAX_CUT_CHARACTERS = 256

# Gemma 4's markers, such as <|turn>, <turn|> and <|"|>.
# Converters call some of them user defined so that llama.cpp prints them,
# but they are special tokens: text that a user wrote must not make them.
_MARKER = re.compile(r"<\|.+>|<.+\|>")


def tokenizer_from_gguf(metadata: Mapping[str, Any], where: str = "GGUF metadata") -> TokenizerData:
    """The tokenizer that `metadata` (key to plain value or list) describes.

    Raises FormatError, which begins with `where`, when a key is missing, damaged or not supported.
    """
    reader = _Reader(metadata, where)
    model = reader.text("model")
    if model not in ("llama", "gemma4"):
        raise FormatError(
            where, f"tokenizer.ggml.model {model!r:.40} is not supported (llama and gemma4 are)"
        )
    reader.refuse_what_is_not_done(model)
    pieces = tuple(piece.replace(" ", SPACE) for piece in reader.array("tokens", str, MAX_PIECES))
    kinds = _kinds(reader, pieces, model)
    bos_id = reader.token_id("bos_token_id", len(pieces))
    return TokenizerData(
        where=where,
        pieces=pieces,
        kinds=kinds,
        merges=_merges(reader, pieces, kinds, model),
        bos_id=bos_id,
        add_bos=bos_id is not None and reader.flag("add_bos_token", True),
    )


class _Reader:
    """Typed access to the keys `tokenizer.ggml.*`."""

    def __init__(self, metadata: Mapping[str, Any], where: str) -> None:
        self._metadata = metadata
        self.where = where

    def get(self, key: str) -> Any:
        return self._metadata.get(f"tokenizer.ggml.{key}")

    def error(self, key: str, problem: str) -> FormatError:
        return FormatError(self.where, f"tokenizer.ggml.{key} {problem}")

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self.error(
                key, "is missing" if value is None else f"is {value!r:.40}, not a string"
            )
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, bool | np.bool_):
            raise self.error(key, f"is {value!r:.40}, not true or false")
        return bool(value)

    def token_id(self, key: str, pieces: int) -> int | None:
        value = self.get(key)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | np.integer)
            or not 0 <= value < pieces
        ):
            raise self.error(key, f"is {value!r:.40}, not an id of the {pieces} tokens")
        return int(value)

    def array(self, key: str, element: type | tuple[type, ...], limit: int) -> Sequence[Any]:
        """The list of a key whose elements are all of a type."""
        value = self.get(key)
        if value is None:
            raise self.error(key, "is missing")
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self.error(key, "is not an array")
        if len(value) > limit:
            raise self.error(key, f"has {len(value)} elements, more than the {limit} allowed")
        wrong = next((item for item in value if not isinstance(item, element)), None)
        if wrong is not None:
            raise self.error(key, f"has the element {wrong!r:.40}, which is of the wrong type")
        return value

    def refuse_what_is_not_done(self, model: str) -> None:
        if self.flag("add_space_prefix", model == "llama"):
            raise self.error(
                "add_space_prefix", "is true or missing; a space before every text is not supported"
            )
        if self.flag("remove_extra_whitespaces", False):
            raise self.error("remove_extra_whitespaces", "is true, which is not supported")
        if (
            self.get("precompiled_charsmap") is not None
            and len(self.get("precompiled_charsmap")) > 0
        ):
            raise self.error(
                "precompiled_charsmap", "is there, but normalizing text is not supported"
            )
        if self.get("pre") not in (None, "default", "gemma4"):
            raise self.error(
                "pre", f"{self.get('pre')!r:.40} is not supported (default and gemma4 are)"
            )


def _kinds(reader: _Reader, pieces: Sequence[str], model: str) -> npt.NDArray[np.uint8]:
    """[pieces]: the PieceKind of each."""
    types = reader.array("token_type", int, MAX_PIECES)
    if len(types) != len(pieces):
        raise reader.error("token_type", f"has {len(types)} elements for {len(pieces)} tokens")
    unknown = next((kind for kind in types if kind not in _KINDS), None)
    if unknown is not None:
        raise reader.error(
            "token_type", f"has the element {unknown}, none of {', '.join(map(str, _KINDS))}"
        )
    kinds = np.array([_KINDS[kind] for kind in types], np.uint8)
    if model == "gemma4":
        for token in np.flatnonzero(kinds == PieceKind.USER).tolist():
            if _MARKER.fullmatch(pieces[token]):
                kinds[token] = PieceKind.CONTROL
    return kinds


def _merges(
    reader: _Reader, pieces: Sequence[str], kinds: npt.NDArray[np.uint8], model: str
) -> npt.NDArray[np.uint32]:
    """[merges, 3]: as listed, or, where there is no list, as the scores imply."""
    if reader.get("merges") is None and model == "llama":
        return _merges_by_score(reader, pieces, kinds)
    pairs = [merge.partition(" ")[::2] for merge in reader.array("merges", str, MAX_MERGES)]
    return merges_from_pairs(
        pairs, {piece: token for token, piece in enumerate(pieces)}, reader.where
    )


def _merges_by_score(
    reader: _Reader, pieces: Sequence[str], kinds: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint32]:
    scores = np.array(reader.array("scores", (float, int), MAX_PIECES), np.float64)
    if len(scores) != len(pieces):
        raise reader.error("scores", f"has {len(scores)} elements for {len(pieces)} tokens")
    if not np.isfinite(scores).all():
        raise reader.error("scores", "has an element that is not finite")
    longest = max(range(len(pieces)), key=lambda token: len(pieces[token]))
    if len(pieces[longest]) > _MAX_CUT_CHARACTERS:
        raise reader.error(
            "tokens",
            f"has a piece of {len(pieces[longest])} characters (token {longest}),"
            f" more than {_MAX_CUT_CHARACTERS}",
        )
    # SentencePiece joins user-defined pieces, such as runs of spaces, before all others; converters
    # write -1000 for them.
    scores[kinds == PieceKind.USER] = max(0.0, float(scores.max(initial=0.0)))
    return merges_from_scores(pieces, scores.tolist(), np.isin(kinds, _MERGEABLE).tolist())
