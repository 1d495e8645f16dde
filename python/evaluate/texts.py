"""The texts of the quality table: what is judged and what calibration sees.

Two kinds: Python's own reference documentation, and documents that the model wrote by itself
(`sample_text.py`). Of each, one part is for calibration and the rest is judged; no document of the
model's is in both, and the documentation is cut in the middle. The documents in many languages are
for calibration alone: a script that it has not seen costs several times as much as the others.
"""

import hashlib
import json
from pathlib import Path
from pydoc_data.topics import topics

import torch

from python.console.errors import UsageError
from python.quant.calibration.calibration_text import CalibrationText, sequences_of
from python.text.text_tokenizer import TextTokenizer

SEQUENCE = 256
_MIXED_FILE = "sampled_mixed.json"
_LANGUAGES_FILE = "sampled_languages.json"
# So many of the mixed documents, the first ones, are for calibration.
_CALIBRATION_DOCUMENTS = 64


def judged_texts(tokenizer: TextTokenizer, bos: int | None, tokens: int) -> dict[str, torch.Tensor]:
    """By the name of each text: int64 [sequences, 256], of `tokens` tokens at most.

    Raises UsageError where a text is shorter.
    """
    return {
        "documentation": _take("documentation", _documentation(tokenizer, bos)[1], tokens),
        "sampled": _take("sampled", _sampled(tokenizer, bos)[1], tokens),
    }


def calibration_text(tokenizer: TextTokenizer, bos: int | None, tokens: int) -> CalibrationText:
    """A quarter of the tokens from each text that is judged, half from documents in many languages.

    Raises UsageError where a text is shorter.
    """
    languages = _documents(_LANGUAGES_FILE)
    parts = [
        _take("documentation", _documentation(tokenizer, bos)[0], tokens // 4),
        _take("sampled", _sampled(tokenizer, bos)[0], tokens // 4),
        _take("languages", _beginnings(tokenizer, bos, languages), tokens // 2),
    ]
    everything = json.dumps([*_topics(), *_documents(_MIXED_FILE), *languages])
    digest = hashlib.sha256(everything.encode()).hexdigest()
    return CalibrationText(tokens=torch.cat(parts), sha256=digest)


# Sequences [sequences, 256] for calibration, and to be judged.
_Parts = tuple[torch.Tensor, torch.Tensor]


def _documentation(tokenizer: TextTokenizer, bos: int | None) -> _Parts:
    ids = tokenizer.encode("\n".join(_topics()))
    half = len(ids) // 2
    return _scattered(_sequences(ids[:half], bos)), _scattered(_sequences(ids[half:], bos))


def _sampled(tokenizer: TextTokenizer, bos: int | None) -> _Parts:
    documents = _documents(_MIXED_FILE)
    return (
        _beginnings(tokenizer, bos, documents[:_CALIBRATION_DOCUMENTS]),
        _beginnings(tokenizer, bos, documents[_CALIBRATION_DOCUMENTS:]),
    )


def _beginnings(tokenizer: TextTokenizer, bos: int | None, documents: list[str]) -> torch.Tensor:
    """One sequence from the beginning of each document; those that are too short have none."""
    return torch.cat([_sequences(tokenizer.encode(text), bos)[:1] for text in documents])


def _sequences(ids: list[int], bos: int | None) -> torch.Tensor:
    return sequences_of(ids, bos, SEQUENCE, 2 * len(ids))


def _scattered(sequences: torch.Tensor) -> torch.Tensor:
    """In an order whose beginnings are from all over the text, not from its first topics alone."""
    generator = torch.Generator().manual_seed(0)
    return sequences[torch.randperm(len(sequences), generator=generator)]


def _take(name: str, sequences: torch.Tensor, tokens: int) -> torch.Tensor:
    """The first sequences; raises UsageError if there are too few."""
    have, want = len(sequences), tokens // SEQUENCE
    if not 1 <= want <= have:
        raise UsageError(
            f"{tokens} tokens of text {name!r} were asked, it has {have * SEQUENCE} (use "
            f"{SEQUENCE} to {have * SEQUENCE})"
        )
    return sequences[:want]


def _topics() -> list[str]:
    return [topics[key] for key in sorted(topics)]


def _documents(file: str) -> list[str]:
    documents: list[str] = json.loads(Path(__file__).with_name(file).read_text())
    return documents
