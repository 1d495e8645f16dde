"""Quantizes a Hugging Face checkpoint once, one weight at a time, on any machine.

    ./bazelw run //python/quant:gemma4_31b -- --checkpoint PATH --recipe
    default|sensitive|calibrated|qat|none|FILE --output DIR

The output is a Hugging Face folder with torchao tensors; //python/export reads it. --dry_run shows
what would happen to every weight and what it would take. An interrupted run continues with
--resume.
"""

from absl import flags

from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.console import main
from python.console.errors import UsageError, UserError
from python.console.progress import define_progress_flag
from python.quant import dry_run, recipe
from python.quant.calibration import calibration_text
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.store import store, store_layout

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A Hugging Face folder.", required=True)
_RECIPE = flags.DEFINE_string(
    "recipe", "default", f"{', '.join(recipe.NAMED)}, or a JSON file with rules."
)
_TEXT = flags.DEFINE_string(
    "calibration_text", None, "A UTF-8 text, for recipes that quantize by the inputs it gives."
)
_TEXT_TOKENS = flags.DEFINE_integer(
    "calibration_tokens", calibration_text.MAX_TOKENS, "Tokens of the text to use at most.",
    lower_bound=calibration_text.SEQUENCE_TOKENS,
)  # fmt: skip
_OUTPUT = flags.DEFINE_string("output", None, "The folder to make.")
_RESUME = flags.DEFINE_boolean("resume", False, "Continue an interrupted run.")
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace an earlier output.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Say what would be done, and do nothing.")
_DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "cuda"], "Where the numbers are chosen.")
_SHARD = flags.DEFINE_integer(
    "shard_bytes", store_layout.SHARD_BYTES, "Largest size of a file.", lower_bound=1 << 20
)
_PROGRESS = define_progress_flag()


def program() -> None:
    path = main.user_path(_CHECKPOINT.value or "")
    if not _DRY_RUN.value and _OUTPUT.value is None:
        raise UsageError("--output must be given (or --dry_run); --help lists the flags")
    if _RESUME.value and _OVERWRITE.value:
        raise UsageError("--resume keeps what --overwrite would remove; pass one of them")
    with open_checkpoint(path) as checkpoint:
        if not isinstance(checkpoint, HuggingFaceCheckpoint):
            raise UserError(
                f"{path} is a GGUF file: its weights are quantized already; export it with "
                "`./bazelw run //python/export:gemma4_31b -- --checkpoint ... --recipe none`"
            )
        rules = recipe.recipe(_RECIPE.value, checkpoint.config.num_layers, main.user_path(""))
        store.check_text(rules, given=_TEXT.value is not None)
        text = _text(checkpoint)
        if _DRY_RUN.value:
            weights = store_layout.lay_out_weights(checkpoint, rules)
            shards = store_layout.lay_out_shards(weights, _SHARD.value)
            print(dry_run.table(weights, shards, rules, checkpoint.config, text))
            return
        output = main.user_path(_OUTPUT.value or "")
        settings = store.Settings(
            overwrite=_OVERWRITE.value,
            resume=_RESUME.value,
            progress=_PROGRESS.value,
            device=_DEVICE.value,
            shard_bytes=_SHARD.value,
        )
        try:
            store.quantize_checkpoint(checkpoint, rules, output, settings, text)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; the same command with --resume goes on") from None
    print(output)


def _text(checkpoint: HuggingFaceCheckpoint) -> CalibrationText | None:
    if _TEXT.value is None:
        return None
    return calibration_text.read_calibration_text(
        main.user_path(_TEXT.value),
        checkpoint.tokenizer,
        checkpoint.config.bos_id,
        _TEXT_TOKENS.value,
    )


if __name__ == "__main__":
    main.run(program)
