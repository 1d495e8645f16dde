"""The command line of the export programs: flags, what is printed, and nothing else.

One program a model; they differ in their defaults. Any dense Gemma text model can be exported by
each of them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import flags

from python.artifact import atomic_write
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.console import listing, main, sizes
from python.console.errors import UsageError, UserError
from python.console.flag_types import define_path, define_tokens
from python.console.progress import Progress, define_progress_flag, progress_mode
from python.export import dry_run, export
from python.model.gemma_config import GemmaConfig
from python.quant import advice
from python.quant.recipe import QuantRecipe, recipe_for

_DEFAULT_MAX_SEQ_LEN = 4096
_PLAIN = ("F32", "F16", "BF16")

FLAGS = flags.FLAGS


def program(model: str, *, kv_cache_dtype: str) -> Callable[[], None]:
    """Defines the flags with a model's defaults; the program that `main.run` takes."""
    define_flags(model, kv_cache_dtype=kv_cache_dtype)
    return functools.partial(export_as_flags_say, model)


def define_flags(model: str, *, kv_cache_dtype: str) -> None:
    """The flags of an export program."""
    define_path(
        "checkpoint",
        None,
        f"A checkpoint of {model}: a Hugging Face folder, a folder of python/quant, or a .gguf.",
        required=True,
    )
    define_path("output", None, "The artifact folder to make.")
    define_tokens(
        "max_seq_len",
        None,
        f"Positions that a session can hold. Unless given: {_DEFAULT_MAX_SEQ_LEN}, or the model's"
        " where those are less.",
    )
    flags.DEFINE_string(
        "recipe",
        None,
        "How to quantize: default, sensitive, qat, none (as stored), or a JSON file. Unless given:"
        " default for a checkpoint in plain numbers, none for one that is quantized already.",
    )
    define_tokens(
        "max_prefill_chunk",
        None,
        "Tokens that one call of prefill or score can take. Unless given:"
        f" {export.DEFAULT_PREFILL_CHUNK}, or max_seq_len where that is less.",
        most=export.MAX_PREFILL_CHUNK,
    )
    flags.DEFINE_enum(
        "kv_cache_dtype",
        kv_cache_dtype,
        sorted(export.CACHE_DTYPES),
        "Type of keys and values. CUDA keeps float32 keys as pairs of float16, and such values as"
        " float16.",
    )
    flags.DEFINE_enum(
        "activation_precision",
        None,
        list(export.PRECISIONS),
        "How CUDA holds the inputs of products: float16, or pairs of it, slower and closer to the"
        " CPU, which computes in float32 in any case. Unless given: pairs where kv_cache_dtype is"
        " float32.",
    )
    flags.DEFINE_bool(
        "allow_lossy",
        False,
        "Round weights that no layout holds exactly as they are stored; the summary says what that"
        " cost, weight by weight with --losses.",
    )
    define_path("losses", None, "A JSON file to write: the relative error of each rounded weight.")
    flags.DEFINE_bool("overwrite", False, "Replace the artifact at --output, if there is one.")
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Print every weight, what the artifact will take, and whether that fits into this machine;"
        " write nothing. Exit code 1 where the export would fail.",
    )
    flags.DEFINE_enum(
        "format", "table", ["table", "json"], "How --dry_run prints: for people or for programs."
    )
    define_path("timings", None, "A JSON file to write: the seconds of each stage.")
    define_progress_flag()


def export_as_flags_say(model: str) -> None:
    """The program. Raises UserError and UsageError."""
    started = time.monotonic()
    if FLAGS.output is None and not FLAGS.dry_run:
        raise UsageError("--output must be given (or --dry_run, which writes nothing)")
    if FLAGS.format == "json" and not FLAGS.dry_run:
        raise UsageError("--format json is for --dry_run (pass --dry_run, or drop --format)")
    for report in (FLAGS.timings, FLAGS.losses):
        if report is not None:
            atomic_write.require_folder(report)
    stages = _Stages(progress_mode())
    with open_checkpoint(FLAGS.checkpoint) as checkpoint:
        config = export.read_config(checkpoint)
        options = _options(config)
        recipe_ = chosen_recipe(checkpoint, config, FLAGS.recipe)
        _tell_about(checkpoint, config, recipe_, model)
        if FLAGS.dry_run:
            _print_dry_run(export.prepare_export(
                checkpoint, config, recipe_, options, progress=stages.begin
            ))  # fmt: skip
            return
        prepared = export.export_artifact(
            checkpoint,
            config,
            recipe_,
            options,
            FLAGS.output,
            overwrite=FLAGS.overwrite,
            progress=stages.begin,
            note=main.note,
        )
    if (found := prepared.table.lattice.sentence(recipe_.name)) is not None:
        main.note(found)
    seconds = time.monotonic() - started
    if FLAGS.timings is not None:
        stages.write(FLAGS.timings, seconds)
    if FLAGS.losses is not None:
        data = json.dumps(prepared.table.losses, indent=2).encode() + b"\n"
        atomic_write.write_file(FLAGS.losses, data, overwrite=True)
    print(f"{FLAGS.output}: exported in {sizes.format_duration(seconds)}\n{summary(prepared)}")


def _tell_about(
    checkpoint: Checkpoint, config: GemmaConfig, recipe_: QuantRecipe, model: str
) -> None:
    """What the user should know before the work begins."""
    if config.name != model:
        main.note(f"{checkpoint.path} is {config.name}, not {model}; it is exported as it is")
    for note in (*checkpoint.generation.notes, _about_integers(checkpoint, recipe_)):
        if note is not None:
            main.note(note)


def _about_integers(checkpoint: Checkpoint, recipe_: QuantRecipe) -> str | None:
    """What a recipe does, or does not do, to a checkpoint that is quantized already."""
    integers = [name for name in checkpoint.names() if checkpoint.form(name) is not None]
    if not integers:
        return advice.of(recipe_)
    if not recipe_.keeps_everything():
        return (
            f"{len(integers)} matrices are integers already and stay as they are; recipe"
            f" {recipe_.name} is for the others"
        )
    embedding = checkpoint.describe("embed_tokens.weight")
    if embedding.encoding not in _PLAIN:
        return None
    return (
        f"the embedding stays {embedding.encoding} ({sizes.format_bytes(embedding.bytes)});"
        " --recipe default stores it in INT8 and leaves what is quantized as it is"
    )


def _print_dry_run(prepared: export.PreparedExport) -> None:
    """Prints the plan and the verdict. Raises UserError where the export would not fit."""
    output = main.user_path(prepared.config.name) if FLAGS.output is None else FLAGS.output
    found = dry_run.listing(prepared, FLAGS.checkpoint, output)
    print(listing.to_json(found) if FLAGS.format == "json" else listing.to_text(found))
    if found.problem is not None:
        raise UserError(found.problem)


class _Stages:
    """Reports the progress of each stage, and remembers how long it took."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def begin(
        self, stage: str, *, total: int, total_bytes: int | None = None
    ) -> Iterator[Progress]:
        started = time.monotonic()
        with Progress(stage, total=total, total_bytes=total_bytes, mode=self._mode) as progress:
            yield progress
        self._seconds[stage] = time.monotonic() - started

    def write(self, path: Path, total: float) -> None:
        """[{"stage": ..., "seconds": ...}, ...], whose seconds add up to `total`."""
        rest = {"everything else": total - sum(self._seconds.values())}
        stages = [
            {"stage": stage, "seconds": round(seconds, 3)}
            for stage, seconds in (self._seconds | rest).items()
        ]
        atomic_write.write_file(path, json.dumps(stages, indent=2).encode() + b"\n", overwrite=True)


def chosen_recipe(checkpoint: Checkpoint, config: GemmaConfig, text: str | None) -> QuantRecipe:
    """The recipe that was asked for, else the one that suits what the checkpoint holds."""
    if text is None:
        stored = {checkpoint.describe(name).encoding for name in checkpoint.names()}
        text = "default" if stored <= set(_PLAIN) else "none"
    chosen = recipe_for(text, config, main.user_path("."))
    if chosen.needs_calibration():
        raise UsageError(
            f"recipe {chosen.name} needs a calibration text; quantize the checkpoint first "
            "(`./bazelw run //python/quant:gemma4_31b -- --calibration_text FILE`), then export "
            "that folder with --recipe none"
        )
    return chosen


def _options(config: GemmaConfig) -> export.Options:
    """What the flags say. Raises UsageError where the model cannot hold so much."""
    positions = FLAGS.max_seq_len
    if positions is None:
        positions = min(_DEFAULT_MAX_SEQ_LEN, config.max_positions)
    chunk = FLAGS.max_prefill_chunk
    if chunk is None:
        chunk = min(export.DEFAULT_PREFILL_CHUNK, positions)
    if chunk > positions:
        raise UsageError(
            f"--max_prefill_chunk {chunk} is more than --max_seq_len {positions} (lower it or leave"
            " it away)"
        )
    options = export.Options(
        max_seq_len=positions,
        max_prefill_chunk=chunk,
        kv_cache_dtype=FLAGS.kv_cache_dtype,
        activation_precision=FLAGS.activation_precision,
        allow_lossy=FLAGS.allow_lossy,
    )
    options.limits(config)
    return options


def summary(prepared: export.PreparedExport) -> str:
    """What the artifact takes."""
    total = export.sizes_of(prepared)
    bits = 8 * total.weights / sum(shape.rows * shape.columns for shape in prepared.shapes.values())
    limits = prepared.prefill
    size = sizes.format_bytes
    return listing.aligned([
        ("model", f"{prepared.config.name}, recipe {prepared.recipe.name}"),
        ("weights", f"{len(prepared.shapes)} in {size(total.weights)}, {bits:.3f} bits a weight"),
        ("file", size(total.file)),
        ("session", f"{size(total.session)} for {limits.max_context} positions"),
        ("call", f"{size(total.activations)} of activations for {limits.max_tokens} tokens"),
        *_rounding(prepared),
    ])  # fmt: skip


def _rounding(prepared: export.PreparedExport) -> list[tuple[str, str]]:
    """A line for each stored type that no layout holds: relative errors, root mean square."""
    of_type: dict[tuple[str, str], dict[str, float]] = {}
    for name, loss in prepared.table.losses.items():
        pair = (prepared.table.encoding(name), prepared.shapes[name].layout.name)
        of_type.setdefault(pair, {})[name] = loss
    lines = []
    for (encoding, layout), losses in of_type.items():
        worst = max(losses, key=lambda name: losses[name])
        spread = f"{min(losses.values()):.1e} to {losses[worst]:.1e}"
        what = f"{len(losses)} of {encoding} to {layout}, relative error {spread} ({worst})"
        lines.append(("rounded", what))
    return lines
