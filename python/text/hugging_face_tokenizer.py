"""The tokenizer of a Hugging Face checkpoint, from its tokenizer.json.

Supported is what Gemma uses: byte-pair encoding with byte fallback, spaces as U+2581, added tokens
that are matched literally. Everything else that the file can ask for changes the ids, so it is
refused by name, never ignored.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from python.artifact import strict_json
from python.artifact.strict_json import Fields
from python.console.errors import FormatError
from python.text.merges import merges_from_pairs
from python.text.tokenizer_data import MAX_PIECES, SPACE, PieceKind, TokenizerData, is_byte_piece

_MAX_FILE_BYTES = 128 << 20

_REPLACE_SPACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
# No space is left when it runs, so it does nothing.
_SPLIT_SPACE = {
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "MergedWithPrevious",
    "invert": False,
}
_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ],
}


def tokenizer_from_json(path: Path) -> TokenizerData:
    """The tokenizer of a tokenizer.json. Raises FormatError, which begins with the path."""
    where = str(path)
    document = Fields(strict_json.read(Path(path), _MAX_FILE_BYTES), where, "the tokenizer")
    _refuse_other_steps(document, where)
    ids, pairs = _read_model(document, where)
    kinds = dict.fromkeys(ids.values(), PieceKind.NORMAL)
    kinds.update({token: PieceKind.BYTE for piece, token in ids.items() if is_byte_piece(piece)})
    kinds.update(_added_tokens(document, ids, where))
    _check_dense(ids, where)
    bos_id = _bos_id(document, ids, kinds, where)
    document.finish()
    ordered = sorted(ids.items(), key=lambda item: item[1])
    return TokenizerData(
        where=where,
        pieces=tuple(piece for piece, _ in ordered),
        kinds=np.array([kinds[token] for _, token in ordered], np.uint8),
        merges=merges_from_pairs(pairs, ids, where),
        bos_id=bos_id,
        # Gemma 4's file leaves BOS to the chat template, which always writes it; the model needs it
        # before any text.
        add_bos=bos_id is not None,
    )


def _refuse_other_steps(document: Fields, where: str) -> None:
    if document.has("version"):
        document.choice("version", ("1.0",))
    for key in ("truncation", "padding"):
        if document.has(key) and not document.is_null(key):
            raise document.error(key, "is set, which is not supported (null is)")
    steps: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("normalizer", (_REPLACE_SPACE,)),
        ("pre_tokenizer", (None, _SPLIT_SPACE)),
        ("decoder", (_DECODER,)),
    )
    for key, supported in steps:
        value = None if not document.has(key) or document.is_null(key) else document.mapping(key)
        if value not in supported:
            raise FormatError(where, f"{key} {_name(value)} is not supported, only Gemma's is")


def _name(step: Mapping[str, Any] | None) -> str:
    """What a step is called in an error: its type, and what it does."""
    return "null" if step is None else f"{step.get('type')!r:.40} ({dict(step)!r:.200})"


def _read_model(document: Fields, where: str) -> tuple[dict[str, int], Iterator[tuple[str, str]]]:
    """The vocabulary and the merges, in rank order."""
    model = Fields(document.mapping("model"), where, "the model")
    kind = model.text("type")
    if kind != "BPE":
        raise FormatError(where, f"model {kind!r:.40} is not supported (BPE is)")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.has(key) and not model.is_null(key):
            raise model.error(key, "is set, which is not supported (null is)")
    if model.has("ignore_merges") and model.boolean("ignore_merges"):
        raise model.error("ignore_merges", "is true, which is not supported")
    if not model.has("byte_fallback") or not model.boolean("byte_fallback"):
        raise model.error("byte_fallback", "is false, which is not supported")
    ids = dict(model.mapping("vocab"))
    if not all(type(token) is int and 0 <= token < MAX_PIECES for token in ids.values()):
        raise model.error("vocab", f"has an id that is not a number from 0 to {MAX_PIECES - 1}")
    # Byte pieces cover everything, so the unknown token is never made.
    for key in ("unk_token", "fuse_unk"):
        if model.has(key) and not model.is_null(key):
            _ = model.text(key) if key == "unk_token" else model.boolean(key)
    merges = model.items("merges")
    model.finish()
    return ids, _pairs(merges, where)


def _pairs(merges: list[Any], where: str) -> Iterator[tuple[str, str]]:
    """Merges are written ["a", "b"], in older files "a b"."""
    for rank, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(piece, str) for piece in pair)
        ):
            raise FormatError(where, f"merge {rank} is {merge!r:.60}, not a pair of pieces")
        yield pair[0], pair[1]


def _added_tokens(
    document: Fields, ids: dict[str, int], where: str
) -> Iterator[tuple[int, PieceKind]]:
    """The kinds of added tokens. Those beyond the model's vocabulary are put into `ids`."""
    for index, value in enumerate(
        document.items("added_tokens") if document.has("added_tokens") else []
    ):
        token = Fields(value, where, f"added token {index}")
        content, token_id = token.text("content"), token.integer("id", 0, MAX_PIECES - 1)
        for flag in ("single_word", "lstrip", "rstrip", "normalized"):
            if token.boolean(flag):
                raise FormatError(
                    where, f"added token {content!r:.40} has {flag}, which is not supported"
                )
        if ids.setdefault(content, token_id) != token_id:
            raise FormatError(
                where,
                f"added token {content!r:.40} has id {token_id}, in the vocabulary {ids[content]}",
            )
        kind = PieceKind.CONTROL if token.boolean("special") else PieceKind.USER
        token.finish()
        yield token_id, kind


def _check_dense(ids: Mapping[str, int], where: str) -> None:
    missing = next(
        (token for token, used in enumerate(sorted(ids.values())) if token != used), None
    )
    if missing is not None:
        raise FormatError(
            where,
            f"ids must go from 0 to {len(ids) - 1}, but {missing} is missing or taken twice",
        )


def _bos_id(
    document: Fields, ids: Mapping[str, int], kinds: Mapping[int, PieceKind], where: str
) -> int | None:
    """The token that the post-processor puts before a text, or else the special token <bos>."""
    present = document.has("post_processor") and not document.is_null("post_processor")
    leading = _leading_tokens(document.mapping("post_processor"), where) if present else []
    if len(leading) > 1 or any(token not in ids for token in leading):
        raise FormatError(
            where,
            f"post_processor adds {leading!r:.60}, which is not one token of the vocabulary",
        )
    bos_id = ids.get(leading[0] if leading else "<bos>")
    return bos_id if bos_id is not None and kinds[bos_id] == PieceKind.CONTROL else None


def _leading_tokens(processor: Mapping[str, Any], where: str) -> list[str]:
    """The special tokens that a TemplateProcessing step puts before a single text."""
    try:
        if processor["type"] != "TemplateProcessing":
            raise FormatError(where, f"post_processor {processor['type']!r:.40} is not supported")
        *before, last = processor["single"]
        if set(last) != {"Sequence"} or not all(set(item) == {"SpecialToken"} for item in before):
            raise FormatError(
                where, "post_processor adds tokens after the text, which is not supported"
            )
        return [str(item["SpecialToken"]["id"]) for item in before]
    except (KeyError, TypeError, ValueError):
        raise FormatError(where, "post_processor is not understood") from None
