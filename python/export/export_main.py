"""The command line of the export programs: flags, what is printed, and nothing else.

One program a model; they differ in their defaults. Any dense Gemma text model can be exported by
each of them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from python.artifact import atomic_write
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.console import main, sizes
from python.console.errors import UsageError
from python.console.progress import Progress, define_progress_flag
from python.export import export
from python.model.gemma_config import GemmaConfig
from python.quant.recipe import QuantRecipe, recipe

_DEFAULT_MAX_SEQ_LEN = 4096
_PLAIN = ("F32", "F16", "BF16")

FLAGS = flags.FLAGS


def run(model: str, *, kv_cache_dtype: str) -> None:
    """Defines the flags with a model's defaults, parses them and exports. Does not return."""
    define_flags(model, kv_cache_dtype=kv_cache_dtype)
    main.run(functools.partial(export_as_flags_say, model))


def define_flags(model: str, *, kv_cache_dtype: str) -> None:
    """The flags of an export program."""
    flags.DEFINE_string(
        "checkpoint",
        None,
        f"A checkpoint of {model}: a Hugging Face folder, a folder of python/quant, or a .gguf.",
        required=True,
    )
    flags.DEFINE_string("output", None, "The artifact folder to make.")
    flags.DEFINE_integer(
        "max_seq_len", _DEFAULT_MAX_SEQ_LEN, "Positions that a session can hold.", lower_bound=1
    )
    flags.DEFINE_string(
        "recipe",
        None,
        "How to quantize: default, sensitive, qat, none (as stored), or a JSON file. Unless given:"
        " default for a checkpoint in plain numbers, none for one that is quantized already.",
    )
    flags.DEFINE_integer(
        "max_prefill_chunk",
        None,
        "Tokens that one call of prefill or score can take. Unless given:"
        f" {export.DEFAULT_PREFILL_CHUNK}, or max_seq_len where that is less.",
        lower_bound=1,
        upper_bound=export.MAX_PREFILL_CHUNK,
    )
    flags.DEFINE_enum(
        "kv_cache_dtype",
        kv_cache_dtype,
        sorted(export.CACHE_DTYPES),
        "Type of keys and values; float32 makes CUDA compute in pairs of float16, slower and closer "
        "to the CPU.",
    )
    flags.DEFINE_bool("overwrite", False, "Replace the artifact at --output, if there is one.")
    flags.DEFINE_bool(
        "dry_run", False, "Print every weight and what the artifact will take; write nothing."
    )
    flags.DEFINE_string("timings", None, "A JSON file to write: the seconds of each stage.")
    define_progress_flag()


def export_as_flags_say(model: str) -> None:
    """The program. Raises UserError and UsageError."""
    started = time.monotonic()
    if FLAGS.output is None and not FLAGS.dry_run:
        raise UsageError("--output must be given (or --dry_run, which writes nothing)")
    options = export.Options(
        max_seq_len=FLAGS.max_seq_len,
        max_prefill_chunk=_prefill_chunk(),
        kv_cache_dtype=FLAGS.kv_cache_dtype,
    )
    stages = _Stages(FLAGS.progress)
    with open_checkpoint(main.user_path(FLAGS.checkpoint)) as checkpoint:
        config = export.read_config(checkpoint)
        if config.name != model:
            print(
                f"{checkpoint.path} is {config.name}, not {model}; it is exported as it is",
                file=sys.stderr,
            )
        recipe_ = chosen_recipe(checkpoint, config, FLAGS.recipe)
        if FLAGS.dry_run:
            prepared = export.prepare_export(
                checkpoint, config, recipe_, options, progress=stages.begin
            )
            print(f"{weight_list(prepared)}\n{summary(prepared)}")
            return
        output = main.user_path(FLAGS.output)
        prepared = export.export_artifact(
            checkpoint,
            config,
            recipe_,
            options,
            output,
            overwrite=FLAGS.overwrite,
            progress=stages.begin,
        )
    seconds = time.monotonic() - started
    if FLAGS.timings is not None:
        stages.write(main.user_path(FLAGS.timings), seconds)
    print(f"{output}: exported in {sizes.format_duration(seconds)}\n{summary(prepared)}")


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
    chosen = recipe(text, config.num_layers, main.user_path("."))
    if chosen.needs_calibration():
        raise UsageError(
            f"recipe {chosen.name} needs a calibration text; quantize the checkpoint first "
            "(`./bazelw run //python/quant:gemma4_31b -- --calibration_text FILE`), then export "
            "that folder with --recipe none"
        )
    return chosen


def _prefill_chunk() -> int:
    chunk = FLAGS.max_prefill_chunk
    if chunk is None:
        return min(export.DEFAULT_PREFILL_CHUNK, FLAGS.max_seq_len)
    if chunk > FLAGS.max_seq_len:
        raise UsageError(
            f"--max_prefill_chunk {chunk} is more than --max_seq_len {FLAGS.max_seq_len}"
            " (lower it or leave it away)"
        )
    return int(chunk)


def weight_list(prepared: export.PreparedExport) -> str:
    """A line a weight: name, shape, what is stored, layout, bits a weight, bytes."""
    rows = [("weight", "shape", "stored", "layout", "bits", "size")]
    for name, shape in prepared.shapes.items():
        group = f" group {shape.group}" if shape.group else ""
        rows.append(
            (
                name,
                f"{shape.rows} x {shape.columns}",
                prepared.table.encoding(name),
                shape.layout.name + group,
                f"{shape.bits_per_weight:.4g}",
                sizes.format_bytes(shape.bytes),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def summary(prepared: export.PreparedExport) -> str:
    """What the artifact takes."""
    total = export.sizes_of(prepared)
    bits = 8 * total.weights / sum(shape.rows * shape.columns for shape in prepared.shapes.values())
    limits = prepared.prefill
    size = sizes.format_bytes
    rows = {
        "model": f"{prepared.config.name}, recipe {prepared.recipe.name}",
        "weights": f"{len(prepared.shapes)} in {size(total.weights)}, {bits:.3f} bits a weight",
        "file": size(total.file),
        "session": f"{size(total.session)} for {limits.max_context} positions",
        "call": f"{size(total.activations)} of activations for {limits.max_tokens} tokens",
    }
    return "\n".join(f"{name:10}{text}" for name, text in rows.items())
