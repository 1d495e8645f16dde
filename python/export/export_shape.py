"""Exports a model's plans and rope tables without any weight, to measure one without a checkpoint.

    ./bazelw run //python/export:export_shape -- --model gemma4_31b --max_seq_len 8k --output DIR
    ./bazelw run //cc/runner -- bench --model DIR --random_weights

The checkpoint's names and shapes are those of the published model; nothing else of it is needed.
"""

from __future__ import annotations

from absl import flags

from python.console import main
from python.console.flag_types import define_path, define_tokens
from python.export import export
from python.export.shape_checkpoint import ShapeCheckpoint
from python.model.named_configs import NAMED, named_config
from python.quant.recipe import recipe

FLAGS = flags.FLAGS
flags.DEFINE_enum("model", None, sorted(NAMED), "The model.", required=True)
flags.DEFINE_string("recipe", "default", "A named recipe or a file; none keeps bfloat16.")
define_tokens("max_seq_len", 8192, "Positions that a session can hold.")
define_tokens(
    "max_prefill_chunk",
    None,
    f"Tokens of one call. Unless given: {export.DEFAULT_PREFILL_CHUNK}, or max_seq_len where that is"
    " less.",
)
define_path("output", None, "The folder to make.", required=True)
flags.DEFINE_bool("overwrite", False, "Replace the folder if it is an artifact.")


def export_shape() -> None:
    """The program. Raises UserError."""
    config = named_config(FLAGS.model)
    checkpoint = ShapeCheckpoint(config)
    options = export.Options(
        max_seq_len=FLAGS.max_seq_len,
        max_prefill_chunk=FLAGS.max_prefill_chunk
        or min(export.DEFAULT_PREFILL_CHUNK, FLAGS.max_seq_len),
        kv_cache_dtype="float16",
    )
    prepared = export.export_artifact(
        checkpoint,
        export.read_config(checkpoint),
        recipe(FLAGS.recipe, config.num_layers, main.user_path(".")),
        options,
        FLAGS.output,
        overwrite=FLAGS.overwrite,
        computed_only=True,
        note=main.note,
    )
    weights = sum(shape.bytes for shape in prepared.shapes.values())
    print(f"{config.name}: plans for {weights / 1e9:.2f} GB of weights, none of which is there")


if __name__ == "__main__":
    main.run(export_shape)
