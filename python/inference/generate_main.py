"""The command line of the eager programs: flags, the text on stdout, timings on stderr."""

from __future__ import annotations

from collections.abc import Callable

import torch
from absl import flags

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.generation import check_suppressed_ids
from python.checkpoint.open_checkpoint import open_checkpoint
from python.console import main, sizes
from python.console.errors import UsageError, UserError
from python.console.flag_types import define_path, define_tokens
from python.console.progress import Progress, define_progress_flag, progress_mode
from python.inference.chat_prompt import chat_prompt, raw_prompt
from python.inference.generate import Generation, GenerationOptions, compile_decode, generate
from python.inference.load_model import default_dtype, has_packed_form, load_model
from python.model.sampler import Sampling, SamplingError
from python.model.transformer import GemmaModel
from python.text import chat_templates
from python.text.text_tokenizer import TextTokenizer, tokenizer_of

FLAGS = flags.FLAGS
_MAX_CHUNK = 512
_MAX_SEQ_LEN = 4096


def program() -> Callable[[], None]:
    """Defines the flags; the program that `main.run` takes."""
    define_flags()
    return generate_as_flags_say


def define_flags() -> None:
    """The flags, named as the C++ runner's."""
    define_path(
        "checkpoint", None, "A Hugging Face folder, one of ours, or a .gguf file.", required=True
    )
    flags.DEFINE_string("prompt", None, "What to say to the model.", required=True)
    flags.DEFINE_bool("raw", False, "Continue the prompt as plain text, without a chat template.")
    define_tokens("max_new_tokens", 256, "Tokens to generate at most.")
    flags.DEFINE_float("temperature", None, "0 is argmax. Unless given: the checkpoint's.")
    flags.DEFINE_integer("top_k", None, "Keep the k most likely tokens; 0 switches it off.")
    flags.DEFINE_float("top_p", None, "Keep the most likely tokens up to this share of the whole.")
    flags.DEFINE_float("min_p", 0.0, "Keep tokens at least this likely, relative to the best one.")
    flags.DEFINE_integer(
        "seed", 0, "Same seed, same text.", lower_bound=0, upper_bound=(1 << 63) - 1
    )
    define_tokens(
        "max_seq_len",
        None,
        f"Positions that the caches hold. Unless given: {_MAX_SEQ_LEN}, or the model's where those"
        " are less.",
    )
    flags.DEFINE_enum("device", "auto", ["auto", "cpu", "cuda"], "Where to compute.")
    flags.DEFINE_enum(
        "dtype", "auto", ["auto", "float32", "bfloat16"], "Type of weights, caches and activations."
    )
    flags.DEFINE_enum(
        "weights", "auto", ["auto", "packed", "plain"],
        "Quantized weights stay packed in memory, or become plain numbers of --dtype; auto: packed "
        "on CUDA where the checkpoint is quantized.",
    )  # fmt: skip
    flags.DEFINE_bool("compile", False, "Decode through torch.compile.")
    define_progress_flag()


def generate_as_flags_say() -> None:
    """The program. Raises UserError."""
    with open_checkpoint(FLAGS.checkpoint) as checkpoint:
        options = _options(checkpoint)
        tokenizer = tokenizer_of(checkpoint.tokenizer)
        config = checkpoint.config
        if FLAGS.raw:
            prompt = raw_prompt(FLAGS.prompt, tokenizer, config.bos_id)
        else:
            prompt = chat_prompt(FLAGS.prompt, tokenizer, _template_of(checkpoint))
        model = _load(checkpoint)
    text = TextStream(tokenizer)
    decode = None
    if FLAGS.compile:
        decode = compile_decode(model, suppressed_ids=options.suppressed_ids)
    result = generate(model, prompt, options, on_token=text.push, decode=decode)
    text.finish()
    main.note(summary(result))


def _template_of(checkpoint: Checkpoint) -> str | None:
    """The name of the checkpoint's own chat template; without one, that of its family."""
    text = None if checkpoint.tokenizer is None else checkpoint.tokenizer.chat_template
    if text is None:
        return checkpoint.config.chat_template
    name = chat_templates.identify(text)
    if name is None:
        raise UserError(
            "the checkpoint's chat template does what none of"
            f" {', '.join(chat_templates.NAMES)} does (use --raw to continue plain text)"
        )
    return name


class TextStream:
    """Writes the text of tokens to stdout as soon as its characters are complete.

    A token costs the same however long the text is: decoded are only those since the last one that
    is no byte, and that one, for a decoder that treats the beginning of a text differently.
    `tokenizers.decoders.DecodeStream` does the same but raises where bytes are no UTF-8, as a model
    may well sample them: what it wrote before is then no beginning of the new text.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._before: list[int] = []  # at most one token, whose text is written
        self._tokens: list[int] = []  # after it: bytes whose text may still change, or nothing
        self._written = 0  # characters of the text of _tokens

    def push(self, token: int) -> None:
        self._tokens.append(token)
        text = self._text()
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # else a character may be incomplete
            self._write(text)
        if not self._tokenizer.is_byte(token):
            self._write(text)
            self._before, self._tokens, self._written = [token], [], 0

    def finish(self) -> None:
        self._write(self._text())
        print(flush=True)

    def _text(self) -> str:
        before = self._tokenizer.decode(self._before)
        return self._tokenizer.decode([*self._before, *self._tokens])[len(before) :]

    def _write(self, text: str) -> None:
        if len(text) > self._written:
            print(text[self._written :], end="", flush=True)
            self._written = len(text)


def summary(result: Generation) -> str:
    """One line: why it ended, tokens, seconds, tokens per second."""
    decoded = max(0, len(result.tokens) - 1)  # the first token comes out of the prefill
    return (
        f"{result.prompt_tokens} prompt tokens in {sizes.format_duration(result.prefill_seconds)} "
        f"({_rate(result.prompt_tokens, result.prefill_seconds)} tokens/s), "
        f"{len(result.tokens)} new in {sizes.format_duration(result.decode_seconds)} "
        f"({_rate(decoded, result.decode_seconds)} tokens/s), ended by {result.stop_reason}"
    )


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:.1f}" if seconds > 0 else "-"


def _options(checkpoint: Checkpoint) -> GenerationOptions:
    """What the flags say, and where they are silent the checkpoint."""
    stored = checkpoint.generation
    check_suppressed_ids(stored.suppressed_ids, checkpoint.config.vocab_size)
    try:
        sampling = Sampling(
            temperature=stored.temperature if FLAGS.temperature is None else FLAGS.temperature,
            top_k=stored.top_k if FLAGS.top_k is None else FLAGS.top_k,
            top_p=stored.top_p if FLAGS.top_p is None else FLAGS.top_p,
            min_p=FLAGS.min_p,
        )
    except SamplingError as error:
        raise UsageError(f"--{error}") from None
    return GenerationOptions(
        max_new_tokens=FLAGS.max_new_tokens,
        sampling=sampling,
        seed=FLAGS.seed,
        stop_ids=frozenset(stored.stop_ids),
        suppressed_ids=stored.suppressed_ids,
    )


def _load(checkpoint: Checkpoint) -> GemmaModel:
    device = _device()
    dtype = default_dtype(checkpoint, device)
    if FLAGS.dtype != "auto":
        dtype = getattr(torch, FLAGS.dtype)
    packed = FLAGS.weights == "packed"
    if FLAGS.weights == "auto" and device.type == "cuda":
        packed = has_packed_form(checkpoint)
    max_context = _max_context(checkpoint)
    notes: list[str] = []  # printed when the progress bar is gone
    names = checkpoint.names()
    size = sum(checkpoint.describe(name).bytes for name in names)
    mode = progress_mode()
    with Progress("load", total=len(names), total_bytes=size, mode=mode) as progress:
        model = load_model(
            checkpoint,
            max_context=max_context,
            max_chunk=min(_MAX_CHUNK, max_context),
            dtype=dtype,
            device=device,
            packed=packed,
            on_weight=lambda info: progress.advance(info.name, bytes_done=info.bytes),
            on_note=notes.append,
        )
    for note in notes:
        main.note(note)
    return model


def _max_context(checkpoint: Checkpoint) -> int:
    positions = checkpoint.config.max_positions
    if FLAGS.max_seq_len is None:
        return min(_MAX_SEQ_LEN, positions)
    if FLAGS.max_seq_len > positions:
        name = checkpoint.config.name
        raise UsageError(
            f"--max_seq_len {FLAGS.max_seq_len} is more than the {positions} positions of {name}"
        )
    return int(FLAGS.max_seq_len)


def _device() -> torch.device:
    if FLAGS.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no CUDA device (use --device cpu)")
    if FLAGS.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(FLAGS.device)
