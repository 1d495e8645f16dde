"""Tokenizers small enough to read, for tests: as a tokenizer.json and as GGUF metadata."""

from typing import Any

from python.text.tokenizer_data import SPACE

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def tiny_json() -> dict[str, Any]:
    """Bytes, a, b, ab, <bos> and <b>, with the merge a b."""
    pieces = [*BYTES, "a", "b", "ab", "<bos>", "<b>"]
    vocab = {piece: token for token, piece in enumerate(pieces)}
    return tokenizer_json(vocab, [["a", "b"]], {"<bos>": True, "<b>": False})


def tiny_gguf(model: str) -> dict[str, Any]:
    """Metadata: bytes, a, b, ab, two spaces (user defined), one space, <bos>."""
    pieces = [*BYTES, "a", "b", "ab", "  " if model == "llama" else SPACE * 2, SPACE, "<bos>"]
    values: dict[str, Any] = {
        "model": model,
        "tokens": pieces,
        "token_type": [6] * 256 + [1, 1, 1, 4, 1, 3],
        "bos_token_id": len(pieces) - 1,
        "add_space_prefix": False,
    }
    if model == "llama":
        values["scores"] = [0.0] * 256 + [-1.0, -2.0, -3.0, -1000.0, -4.0, -1000.0]
    else:
        values["merges"] = [f"{SPACE} {SPACE}", "a b"]
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()}


def tokenizer_json(
    vocab: dict[str, int], merges: list[list[str]], added: dict[str, bool]
) -> dict[str, Any]:
    """A tokenizer.json in Gemma's form. `added`: whether each added token is special."""
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    restore = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocab[piece], "content": piece, **flags, "special": special}
            for piece, special in added.items()
        ],
        "normalizer": replace,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [restore, {"type": "ByteFallback"}, {"type": "Fuse"}],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }
