"""Quantizes a Hugging Face checkpoint once, one weight at a time, on any machine.

    ./bazelw run //python/quant:gemma4_31b -- --checkpoint HF_FOLDER --recipe sensitive --output DIR
    ./bazelw run //python/export:gemma4_31b -- --checkpoint DIR --max_seq_len 8k --output ARTIFACT

The output is a Hugging Face folder with torchao tensors; //python/export reads it.
--dry_run shows what would happen to every weight and what it would take.
An interrupted run continues with --resume.
"""

from absl import flags

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.safetensors_reader import DTYPES
from python.console import listing, main
from python.console.errors import UsageError, UserError
from python.console.flag_types import define_path, define_tokens
from python.console.progress import define_progress_flag, progress_mode
from python.quant import advice, dry_run, recipe
from python.quant.calibration import calibration_chats, calibration_text
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.store import store, store_layout

_CHECKPOINT = define_path(
    "checkpoint", None, "A Hugging Face folder, or a GGUF in plain numbers.", required=True
)
_RECIPE = flags.DEFINE_string(
    "recipe", "default", f"{', '.join(recipe.NAMED)}, or a JSON file with rules."
)
_TEXT = define_path(
    "calibration_text", None, "A UTF-8 text, for recipes that quantize by the inputs it gives."
)
_CHATS = define_path(
    "calibration_chats",
    None,
    "Conversations in place of the text, a JSON object with messages a line; the checkpoint's chat "
    "template renders them.",
)
_TEXT_TOKENS = define_tokens(
    "calibration_tokens", calibration_text.MAX_TOKENS, "Tokens of the text to use at most.",
    least=calibration_text.SEQUENCE_TOKENS,
)  # fmt: skip
_OUTPUT = define_path("output", None, "The folder to make.")
_RESUME = flags.DEFINE_boolean("resume", False, "Continue an interrupted run.")
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace an earlier output.")
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "Print what would be done and whether it fits into this machine; do nothing. "
    "Exit code 1 where the run would fail.",
)  # fmt: skip
_FORMAT = flags.DEFINE_enum(
    "format", "table", ["table", "json"], "How --dry_run prints: for people or for programs."
)
_DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "cuda"], "Where the numbers are chosen.")
_SHARD = flags.DEFINE_integer(
    "shard_bytes", store_layout.SHARD_BYTES, "Largest size of a file.", lower_bound=1 << 20
)
define_progress_flag()


def program() -> None:
    _check_flags()
    path = _CHECKPOINT.value
    with open_checkpoint(path) as checkpoint:
        _check_plain(checkpoint)
        rules = recipe.recipe_for(_RECIPE.value, checkpoint.config, main.user_path(""))
        store.check_text(rules, given=(_TEXT.value or _CHATS.value) is not None)
        text = _text(checkpoint)
        for note in (*checkpoint.generation.notes, advice.of(rules)):
            if note is not None:
                main.note(note)
        if _DRY_RUN.value:
            _print_dry_run(checkpoint, rules, text)
        else:
            _quantize(checkpoint, rules, text)


def _check_plain(checkpoint: Checkpoint) -> None:
    """Raises UserError where a weight is quantized already."""
    for name in checkpoint.names():
        encoding = checkpoint.describe(name).encoding
        if encoding not in DTYPES:
            raise UserError(
                f"{checkpoint.path}: {name} is quantized already ({encoding}); export it with "
                "`./bazelw run //python/export:gemma4_31b -- --checkpoint ... --recipe none`"
            )


def _check_flags() -> None:
    if not _DRY_RUN.value and _OUTPUT.value is None:
        raise UsageError("--output must be given (or --dry_run); --help lists the flags")
    if _FORMAT.value == "json" and not _DRY_RUN.value:
        raise UsageError("--format json is for --dry_run (pass --dry_run, or drop --format)")
    if _TEXT.value is not None and _CHATS.value is not None:
        raise UsageError("--calibration_text and --calibration_chats exclude each other")
    if _RESUME.value and _OVERWRITE.value:
        raise UsageError("--resume keeps what --overwrite would remove; pass one of them")


def _print_dry_run(
    checkpoint: Checkpoint, rules: recipe.QuantRecipe, text: CalibrationText | None
) -> None:
    """Prints the plan and the verdict. Raises UserError where the run would not fit."""
    weights = store_layout.lay_out_weights(checkpoint, rules)
    shards = store_layout.lay_out_shards(weights, _SHARD.value)
    output = _OUTPUT.value or main.user_path(f"{checkpoint.config.name}_{rules.name}")
    config = checkpoint.config
    found = dry_run.listing(checkpoint.path, output, weights, shards, rules, config, text)
    print(listing.to_json(found) if _FORMAT.value == "json" else listing.to_text(found))
    if found.problem is not None:
        raise UserError(found.problem)


def _quantize(
    checkpoint: Checkpoint, rules: recipe.QuantRecipe, text: CalibrationText | None
) -> None:
    settings = store.Settings(
        overwrite=_OVERWRITE.value,
        resume=_RESUME.value,
        progress=progress_mode(),
        device=_DEVICE.value,
        shard_bytes=_SHARD.value,
        note=main.note,
    )
    try:
        lattice = store.quantize_checkpoint(checkpoint, rules, _OUTPUT.value, settings, text)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command with --resume goes on") from None
    if (note := lattice.sentence(rules.name)) is not None:
        main.note(note)
    print(_OUTPUT.value)


def _text(checkpoint: Checkpoint) -> CalibrationText | None:
    if _CHATS.value is not None:
        return calibration_chats.read_calibration_chats(
            _CHATS.value,
            checkpoint.tokenizer,
            checkpoint.config.bos_id,
            _TEXT_TOKENS.value,
        )
    if _TEXT.value is None:
        return None
    return calibration_text.read_calibration_text(
        _TEXT.value,
        checkpoint.tokenizer,
        checkpoint.config.bos_id,
        _TEXT_TOKENS.value,
    )


if __name__ == "__main__":
    main.run(program)
