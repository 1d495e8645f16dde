"""How a checkpoint wants to be sampled: its stop ids and its sampling parameters.

Invariant: the stop ids come from the checkpoint alone;
nothing here invents an id that it does not name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from python.artifact.strict_json import Fields
from python.console.errors import FormatError, UserError

_MAX_TOKEN = (1 << 24) - 1
# Tokens that end a turn, by their text: those of llama.cpp's end-of-generation set that Gemma has.
_STOP_TOKENS = {"gemma3": ("<end_of_turn>",), "gemma4": ("<eos>", "<turn|>", "<|tool_response>")}


# What Gemma 4's model card asks for; llama.cpp's files of it have no sampling keys.
_GEMMA4_CARD = {"temp": 1.0, "top_k": 64, "top_p": 0.95}
_SAMPLING = "general.sampling."
# Keys of GGUF that we read, with the value that switches each off.
_SAMPLING_OFF = {"temp": 1.0, "top_k": 0, "top_p": 1.0}
# Keys that an artifact has no place for, with the values that say nothing.
_SAMPLING_IGNORED: Mapping[str, tuple[float, ...]] = {
    "min_p": (0,), "xtc_probability": (0,), "penalty_repeat": (0, 1), "mirostat": (0,)
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Stop ids in ascending order, and sampling parameters.

    temperature 0 is the argmax; top_k 0 and top_p 1 switch those filters off.
    """

    stop_ids: tuple[int, ...]
    suppressed_ids: tuple[int, ...] = ()
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    notes: tuple[str, ...] = ()


def from_hugging_face(
    generation: Mapping[str, Any] | None, config: Mapping[str, Any], where: Path
) -> GenerationConfig:
    """From generation_config.json, or from config.json's eos_token_id where that is None."""
    if generation is None:
        text = config.get("text_config")
        ids = config.get(
            "eos_token_id", text.get("eos_token_id") if isinstance(text, dict) else None
        )
        return GenerationConfig(stop_ids=_ids(ids, "eos_token_id", where / "config.json"))
    path = where / "generation_config.json"
    fields = Fields(generation, path, "the generation config")

    def present(key: str) -> bool:
        return fields.has(key) and not fields.is_null(key)

    sampled = fields.boolean("do_sample") if present("do_sample") else False
    temperature = fields.number("temperature", 0, 1e6) if present("temperature") else 1.0
    return GenerationConfig(
        stop_ids=_ids(generation.get("eos_token_id"), "eos_token_id", path),
        suppressed_ids=_ids(generation.get("suppress_tokens"), "suppress_tokens", path),
        temperature=temperature if sampled else 0.0,
        top_k=fields.integer("top_k", 0, _MAX_TOKEN) if present("top_k") else 0,
        top_p=fields.number("top_p", 0, 1) if present("top_p") else 1.0,
    )


def from_gguf(
    architecture: str, metadata: Mapping[str, Any], tokens: Sequence[str], where: Path
) -> GenerationConfig:
    """From the tokenizer.ggml.* keys: ids of eos and eot, and of the turn's end by their texts."""
    ids: set[int] = set()
    for key in ("eos_token_id", "eot_token_id"):
        value = metadata.get(f"tokenizer.ggml.{key}")
        if value is not None:
            ids.update(_ids(value, key, where))
    wanted = _STOP_TOKENS.get(architecture, ())
    ids.update(index for index, text in enumerate(tokens) if text in wanted)
    suppressed = metadata.get("tokenizer.ggml.suppress_tokens")
    if isinstance(suppressed, np.ndarray):
        suppressed = suppressed.tolist()
    sampling, notes = _gguf_sampling(architecture, metadata, where)
    return GenerationConfig(
        stop_ids=tuple(sorted(ids)),
        suppressed_ids=_ids(suppressed, "suppress_tokens", where),
        temperature=sampling["temp"],
        top_k=int(sampling["top_k"]),
        top_p=sampling["top_p"],
        notes=notes,
    )


def _gguf_sampling(
    architecture: str, metadata: Mapping[str, Any], where: Path
) -> tuple[dict[str, float], tuple[str, ...]]:
    """The general.sampling.* keys, or what stands in their place; and what a user should know."""
    stated = {
        key.removeprefix(_SAMPLING): value
        for key, value in metadata.items()
        if key.startswith(_SAMPLING)
    }
    found = {
        key: _sampling_number(value, key, where)
        for key, value in stated.items()
        if key in _SAMPLING_OFF
    }
    notes = [
        f"{where}: {_SAMPLING}{key} = {stated[key]!r:.20} is not taken over; artifacts have"
        " temperature, top_k and top_p"
        for key, silent in _SAMPLING_IGNORED.items()
        if stated.get(key, silent[0]) not in silent
    ]
    if not found and architecture == "gemma4":
        notes.append(
            f"{where} says nothing of sampling; the model card's values stand: temperature"
            f" {_GEMMA4_CARD['temp']:g}, top_k {_GEMMA4_CARD['top_k']}, top_p"
            f" {_GEMMA4_CARD['top_p']:g}"
        )
        return dict(_GEMMA4_CARD), tuple(notes)
    return _SAMPLING_OFF | found, tuple(notes)


def _sampling_number(value: object, key: str, where: Path) -> float:
    """A temperature from 0, a count from 0, or a probability."""
    most = {"temp": 1e6, "top_k": _MAX_TOKEN, "top_p": 1}[key]
    kinds: tuple[type, ...] = (int,) if key == "top_k" else (int, float)
    if type(value) not in kinds or not 0 <= value <= most:  # type: ignore[operator]
        raise FormatError(
            where, f"{_SAMPLING}{key} is {value!r:.40}, it must be a number from 0 to {most:g}"
        )
    # GGUF has float32: 0.95 comes as 0.949999988.
    return float(f"{value:.7g}")


def check_suppressed_ids(ids: Sequence[int], vocab_size: int) -> None:
    """Raises UserError where the model has no such id, or none would be left to draw."""
    for token in ids:
        if token >= vocab_size:
            raise UserError(
                f"suppressed id {token} is not among the model's {vocab_size} tokens (correct the"
                " checkpoint's suppress_tokens)"
            )
    if len(ids) == vocab_size:
        raise UserError(
            f"all {vocab_size} ids are suppressed, so none would be left to draw (correct the"
            " checkpoint's suppress_tokens)"
        )


def _ids(value: object, key: str, where: Path) -> tuple[int, ...]:
    """One id, a list of them or null, as a sorted tuple without repetitions."""
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if any(type(token) is not int or not 0 <= token <= _MAX_TOKEN for token in ids):
        raise FormatError(
            where, f"'{key}' is {value!r:.60}, it must be a token id or a list of them"
        )
    return tuple(sorted(set(ids)))
