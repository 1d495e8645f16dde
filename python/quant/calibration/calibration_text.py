"""A text as the token sequences that calibration runs on."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from python.checkpoint.checkpoint import TokenizerSource
from python.console.errors import UserError
from python.text.text_tokenizer import tokenizer_of

SEQUENCE_TOKENS = 512
MAX_TOKENS = 16_384
_MAX_TEXT_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class CalibrationText:
    """tokens: int64 [sequences, tokens]; sha256: of the file that they are from, in hexadecimal."""

    tokens: torch.Tensor
    sha256: str

    def identity(self) -> str:
        """Which text, and how much of it."""
        sequences, length = self.tokens.shape
        return f"{self.sha256}, {sequences} sequences of {length} tokens"


def read_calibration_text(
    path: Path,
    source: TokenizerSource | None,
    bos_id: int | None,
    max_tokens: int = MAX_TOKENS,
) -> CalibrationText:
    """The beginning of a UTF-8 file, cut into sequences of 512 tokens, each begun by BOS.

    Raises UserError for a file that is missing, too large, no UTF-8, or shorter than a sequence,
    and for a checkpoint without a tokenizer.
    """
    data = read_bytes(path, "calibration text")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text (byte {error.start})") from None
    ids = tokenizer_of(source).encode(text)
    tokens = sequences_of(ids, bos_id, SEQUENCE_TOKENS, max_tokens)
    if tokens.shape[0] == 0:
        raise UserError(
            f"{path} has {len(ids)} tokens, a calibration text needs at least {SEQUENCE_TOKENS}"
        )
    return CalibrationText(tokens=tokens, sha256=hashlib.sha256(data).hexdigest())


def read_bytes(path: Path, what: str) -> bytes:
    """A whole file. Raises UserError where it is missing or too large."""
    if not path.is_file():
        raise UserError(f"{path}: no such {what}")
    size = path.stat().st_size
    if size > _MAX_TEXT_BYTES:
        raise UserError(f"{path} has {size} bytes, a {what} may have {_MAX_TEXT_BYTES}")
    return path.read_bytes()


def sequences_of(ids: list[int], bos_id: int | None, length: int, max_tokens: int) -> torch.Tensor:
    """int64 [sequences, length] of whole sequences, each begun by BOS where there is one."""
    start = [] if bos_id is None else [bos_id]
    own = length - len(start)
    count = min(len(ids) // own, max_tokens // length)
    rows = [[*start, *ids[number * own : (number + 1) * own]] for number in range(count)]
    return torch.tensor(rows, dtype=torch.int64).reshape(count, length)
