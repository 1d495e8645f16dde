"""Merges of a byte-pair encoding: from pairs as files spell them, and from SentencePiece scores.

A merge is a row (left, right, merged) of piece ids.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from python.console.errors import FormatError


def merges_from_pairs(
    pairs: Iterable[tuple[str, str]], ids: Mapping[str, int], where: str
) -> npt.NDArray[np.uint32]:
    """[merges, 3] from pairs of pieces in rank order. Raises FormatError when `ids` lacks one."""
    rows: list[int] = []
    try:
        for left, right in pairs:
            rows += (ids[left], ids[right], ids[left + right])
    except KeyError as error:
        raise FormatError(
            where,
            f"merge {len(rows) // 3} needs the piece {error.args[0]!r:.60}, which there is not",
        ) from None
    return np.array(rows, np.uint32).reshape(-1, 3)


def merges_from_scores(
    pieces: Sequence[str], scores: Sequence[float], mergeable: Sequence[bool]
) -> npt.NDArray[np.uint32]:
    """[merges, 3] that encode as SentencePiece's byte-pair encoding with these scores does.

    SentencePiece joins the neighbours whose result has the highest score. So each way to cut a
    piece into two pieces is a merge, ranked by the piece's score; among equal scores longer left
    parts, then longer right parts, then lower ids come first, which is the order of the
    tokenizer.json that Google publishes for Gemma 3.
    """
    ids = {piece: token for token, piece in enumerate(pieces) if mergeable[token]}
    cuts = [
        (left, right, merged)
        for piece, merged in ids.items()
        for at in range(1, len(piece))
        if (left := ids.get(piece[:at])) is not None and (right := ids.get(piece[at:])) is not None
    ]
    if not cuts:
        return np.zeros((0, 3), np.uint32)
    rows = np.array(cuts, np.uint32)
    lengths = np.array([len(piece) for piece in pieces])
    left, right, merged = rows.T
    ranked = np.asarray(scores, np.float64)[merged]
    order = np.lexsort(
        (merged, -lengths[right], -lengths[left], -ranked)
    )  # the last key counts first
    return rows[order]
