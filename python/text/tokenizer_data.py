"""TokenizerData: a tokenizer as tokenizer.bin (cc/text/tokenizer.fbs) holds it, from any source.

What must stay true is checked in one place, when one is made; cc/text checks it again in the file.
"""

import dataclasses
import re
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from python.console.errors import FormatError

# The limits of cc/text/vocabulary.h.
MAX_PIECES = 1 << 20
MAX_MERGES = 1 << 20
MAX_TEXT_BYTES = 16 << 20
MAX_ADDED_PIECE_BYTES = 1024

SPACE = "\u2581"  # how pieces write a space

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
_BYTE_PIECES = frozenset(f"<0x{byte:02X}>" for byte in range(256))


class PieceKind(IntEnum):
    """What a piece is for; cc/text/tokenizer.fbs says what follows from it."""

    NORMAL = 0
    BYTE = 1
    CONTROL = 2
    USER = 3
    UNUSED = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenizerData:
    """Pieces, their kinds and the merges between them; ids are indices into `pieces`.

    Raises FormatError, which begins with `where`, if it could not be a tokenizer.
    """

    where: str  # what it was read from
    pieces: tuple[str, ...]
    kinds: npt.NDArray[np.uint8]  # [pieces], values of PieceKind
    merges: npt.NDArray[np.uint32]  # [merges, 3]: left, right, merged; earlier merges win
    bos_id: int | None
    add_bos: bool  # whether every text begins with bos_id

    def __post_init__(self) -> None:
        self._check_sizes()
        self._check_kinds()
        self._check_spelling()
        if self.bos_id is None and self.add_bos:
            raise self._error("a BOS token is to be added, but there is none")

    def ids(self, kind: PieceKind) -> list[int]:
        """The ids of all pieces of a kind, ascending."""
        return [int(piece) for piece in np.flatnonzero(self.kinds == kind)]

    def control_id(self, piece: str) -> int | None:
        """The id of the special token spelled `piece`."""
        return next(
            (token for token in self.ids(PieceKind.CONTROL) if self.pieces[token] == piece), None
        )

    def fitted_to(self, vocabulary: int) -> "TokenizerData":
        """The same tokenizer with exactly one piece for each of a model's `vocabulary` embeddings.

        Special pieces without an embedding are dropped (Gemma 3's text models have none for the
        image token); embeddings without a piece get an UNUSED one. Raises FormatError when a piece
        that text needs has no embedding.
        """
        beyond = self.kinds[vocabulary:]
        if not np.isin(beyond, (PieceKind.CONTROL, PieceKind.UNUSED)).all():
            first = vocabulary + int(
                np.argmin(np.isin(beyond, (PieceKind.CONTROL, PieceKind.UNUSED)))
            )
            raise self._error(
                f"the tokenizer has {len(self.pieces)} pieces, the model only {vocabulary}"
                f" embeddings, and piece {first} {self.pieces[first]!r:.40} cannot be left out"
            )
        missing = max(0, vocabulary - len(self.pieces))
        return dataclasses.replace(
            self,
            pieces=self.pieces[:vocabulary] + ("",) * missing,
            kinds=np.append(self.kinds[:vocabulary], np.full(missing, PieceKind.UNUSED, np.uint8)),
            merges=self.merges[(self.merges < vocabulary).all(axis=1)],
        )

    def _error(self, problem: str) -> FormatError:
        return FormatError(self.where, problem)

    def _check_sizes(self) -> None:
        for count, limit, what in (
            (len(self.pieces), MAX_PIECES, "pieces"),
            (len(self.merges), MAX_MERGES, "merges"),
        ):
            if count > limit:
                raise self._error(
                    f"the tokenizer has {count} {what}, more than the {limit} allowed"
                )
        if self.kinds.shape != (len(self.pieces),) or self.kinds.dtype != np.uint8:
            raise self._error(f"there are {self.kinds.shape} kinds for {len(self.pieces)} pieces")
        if self.merges.ndim != 2 or self.merges.shape[1] != 3 or self.merges.dtype != np.uint32:
            raise self._error(
                f"merges must have the shape [merges, 3], not {list(self.merges.shape)}"
            )
        if self.merges.size and int(self.merges.max()) >= len(self.pieces):
            raise self._error(
                f"a merge names piece {self.merges.max()}, but there are {len(self.pieces)}"
            )

    def _check_kinds(self) -> None:
        found = Counter(self.pieces[token] for token in self.ids(PieceKind.BYTE))
        for piece, count in found.items():
            if piece not in _BYTE_PIECES or count > 1:
                raise self._error(
                    f"byte piece {piece!r:.40} is not spelled <0xHH>, or occurs twice"
                )
        missing = sorted(_BYTE_PIECES - found.keys())
        if missing:
            raise self._error(
                f"{len(missing)} of the 256 byte pieces are missing, {missing[0]} is the first"
            )
        pairs = self.merges[:, 0].astype(np.uint64) << np.uint64(32) | self.merges[:, 1]
        if len(np.unique(pairs)) != len(pairs):
            raise self._error("a pair of pieces is merged in two ways")
        if np.isin(self.merges, self.ids(PieceKind.BYTE)).any():
            raise self._error("a merge involves a byte piece")
        if self.bos_id is not None and self.bos_id not in self.ids(PieceKind.CONTROL):
            raise self._error(f"BOS token {self.bos_id} is not a special token")

    def _check_spelling(self) -> None:
        seen: dict[str, int] = {}
        for token, (piece, kind) in enumerate(zip(self.pieces, self.kinds.tolist(), strict=True)):
            if kind == PieceKind.UNUSED:
                continue
            if not piece:
                raise self._error(f"piece {token} is empty")
            if seen.setdefault(piece, token) != token:
                raise self._error(
                    f"pieces {seen[piece]} and {token} are both spelled {piece!r:.40}"
                )
        for token in self.ids(PieceKind.CONTROL) + self.ids(PieceKind.USER):
            size = len(self.pieces[token].encode("utf-8", "surrogatepass"))
            if size > MAX_ADDED_PIECE_BYTES:
                raise self._error(
                    f"special piece {token} has {size} bytes, more than {MAX_ADDED_PIECE_BYTES}"
                )
        self.piece_text()

    def piece_text(self) -> tuple[bytes, npt.NDArray[np.uint32]]:
        """All pieces as UTF-8, one after another, and where each begins and the last one ends."""
        try:
            encoded = [piece.encode("utf-8") for piece in self.pieces]
        except UnicodeEncodeError as error:
            raise self._error(f"piece {error.object!r:.40} holds a lone surrogate") from None
        text = b"".join(encoded)
        if len(text) > MAX_TEXT_BYTES:
            raise self._error(
                f"the pieces have {len(text)} bytes, more than the {MAX_TEXT_BYTES} allowed"
            )
        offsets = np.zeros(len(encoded) + 1, np.uint32)
        np.cumsum([len(piece) for piece in encoded], out=offsets[1:])
        return text, offsets


def is_byte_piece(piece: str) -> bool:
    """Whether `piece` is spelled <0xHH>."""
    return _BYTE_PIECE.fullmatch(piece) is not None
