"""Generating and scoring with the eager model: prefill in chunks, then one token at a time.

The same three methods run here as in an exported artifact, so this is what the C++ engine is
compared with. Invariant: the text depends on the prompt, the sampling parameters and the seed,
never on how the prompt was cut into chunks (rounding aside).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal

import torch
from torch._dynamo.exc import TorchDynamoException

from python.console.errors import UserError
from python.model.methods import Decode, Prefill, Score
from python.model.sampler import Sampling
from python.model.transformer import GemmaModel

GREEDY = Sampling()

StopReason = Literal["stop_id", "max_new_tokens", "context"]
# `methods.Decode`, or what was made of it: tokens, start, emit, sampling, seed -> int64 [1, 1].
DecodeMethod = Callable[..., torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How far to generate and how to draw."""

    max_new_tokens: int
    sampling: Sampling = GREEDY
    seed: int = 0
    stop_ids: Collection[int] = ()
    suppressed_ids: Collection[int] = ()  # never drawn

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens {self.max_new_tokens} is less than 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generation:
    """What was generated, without the stop token, and where the seconds went."""

    tokens: tuple[int, ...]
    stop_reason: StopReason
    prompt_tokens: int
    prefill_seconds: float
    decode_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenScore:
    """One position of a teacher-forced run; probabilities are natural logarithms."""

    position: int
    token: int
    next_logprob: float | None  # of the token that follows; None on the last
    top_ids: tuple[int, ...]  # the five most likely next ones
    top_logprobs: tuple[float, ...]


def generate(
    model: GemmaModel,
    prompt: Sequence[int],
    options: GenerationOptions,
    on_token: Callable[[int], None] = lambda token: None,
    decode: DecodeMethod | None = None,
) -> Generation:
    """Continues `prompt` (token ids, BOS included) and calls `on_token` with each token drawn.

    decode: the model's `Decode` in another form, e.g. `compile_decode`'s. Ends at a stop id, at
    `max_new_tokens`, or where the model's context is full. Raises UserError for a prompt that is
    empty, too long, or not made of the model's tokens.
    """
    decode = decode or Decode(model, options.suppressed_ids)
    began = time.monotonic()
    token = prefill(model, prompt, options)
    prefilled = time.monotonic()
    tokens: list[int] = []
    reason: StopReason | None = None
    while reason is None:
        if token in options.stop_ids:
            reason = "stop_id"
            break
        tokens.append(token)
        on_token(token)
        position = len(prompt) + len(tokens) - 1  # of `token`
        if len(tokens) == options.max_new_tokens:
            reason = "max_new_tokens"
        elif position == model.max_context:
            reason = "context"
        else:
            token = decode_one_token(model, token, position, options, decode)
    return Generation(
        tokens=tuple(tokens),
        stop_reason=reason,
        prompt_tokens=len(prompt),
        prefill_seconds=prefilled - began,
        decode_seconds=time.monotonic() - prefilled,
    )


@torch.inference_mode()
def prefill(model: GemmaModel, prompt: Sequence[int], options: GenerationOptions) -> int:
    """Fills the caches with the whole prompt from position 0; the token drawn after it."""
    check_tokens(model, prompt)
    method = Prefill(model, options.suppressed_ids)
    token = -1
    for start, chunk in _chunks(model, prompt, model.max_chunk):
        last = start + chunk.shape[1] == len(prompt)
        token = int(method(chunk, _number(start), *_drawing(model, options, emit=last)).item())
    return token


@torch.inference_mode()
def decode_one_token(
    model: GemmaModel,
    token: int,
    position: int,
    options: GenerationOptions,
    decode: DecodeMethod | None = None,
) -> int:
    """Appends `token` at `position`; the token drawn after it. decode: as in `generate`."""
    tokens = torch.tensor([[token]], device=model.device)
    drawing = _drawing(model, options, emit=True)
    decode = decode or Decode(model, options.suppressed_ids)
    return int(decode(tokens, _number(position), *drawing).item())


def compile_decode(
    model: GemmaModel, backend: str = "inductor", suppressed_ids: Collection[int] = ()
) -> DecodeMethod:
    """The decode step by torch.compile, in one graph: what cannot be compiled is an error.

    suppressed_ids: those of the options with which it is called. Compiling happens at the first
    call, which raises UserError where it fails.
    """
    compiled = torch.compile(
        Decode(model, suppressed_ids), fullgraph=True, dynamic=False, backend=backend
    )

    def decode(*arguments: torch.Tensor) -> torch.Tensor:
        try:
            result: torch.Tensor = compiled(*arguments)
        except TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)  # a back end's own
            reason = str(cause).strip().splitlines()[0]
            raise UserError(
                f"--compile: torch.compile failed: {reason} (use --nocompile)"
            ) from None
        return result

    return decode


@torch.inference_mode()
def score(
    model: GemmaModel, tokens: Sequence[int], chunk: int | None = None
) -> Iterator[TokenScore]:
    """Scores every position of `tokens`, in chunks of `chunk` (by default the model's largest)."""
    check_tokens(model, tokens)
    method = Score(model)
    following = [*tokens[1:], -1]
    for start, ids in _chunks(model, tokens, chunk or model.max_chunk):
        targets = torch.tensor([following[start : start + ids.shape[1]]], device=model.device)
        logprobs, top_ids, top_logprobs = (
            output[0].tolist() for output in method(ids, _number(start), targets)
        )
        for row, logprob in enumerate(logprobs):
            position = start + row
            yield TokenScore(
                position=position,
                token=tokens[position],
                next_logprob=logprob if following[position] >= 0 else None,
                top_ids=tuple(top_ids[row]),
                top_logprobs=tuple(top_logprobs[row]),
            )


def check_tokens(model: GemmaModel, tokens: Sequence[int]) -> None:
    """Raises UserError for tokens that the model cannot take."""
    if not tokens:
        raise UserError("the prompt has no tokens")
    if len(tokens) > model.max_context:
        raise UserError(
            f"the prompt has {len(tokens)} tokens, the context holds {model.max_context}; "
            "shorten it or raise --max_seq_len"
        )
    for token in tokens:
        if not 0 <= token < model.config.vocab_size:
            raise UserError(f"token {token} is outside 0..{model.config.vocab_size - 1}")


def _chunks(
    model: GemmaModel, tokens: Sequence[int], size: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """(position of the first token, int64 [1, size or fewer])."""
    if not 1 <= size <= model.max_chunk:
        raise UserError(f"chunks of {size} are outside 1..{model.max_chunk}")
    for start in range(0, len(tokens), size):
        yield start, torch.tensor([list(tokens[start : start + size])], device=model.device)


def _drawing(
    model: GemmaModel, options: GenerationOptions, *, emit: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """emit, sampling and seed, as the methods take them."""
    return (
        _number(int(emit)).to(model.device),
        options.sampling.to_tensor(),
        _number(options.seed),
    )


def _number(value: int) -> torch.Tensor:
    """int64 [1], on the CPU: where the caches lie must not decide where a position is read."""
    return torch.tensor([value])
