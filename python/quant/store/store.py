"""The canonical store: a Hugging Face folder of torchao tensors, written one weight at a time.

The folder is a text model that transformers loads: the source's text config (folder_config.py), its
weights under the names of that model, its tokenizer; the matrices that the recipe quantizes are
replaced by Int4Tensor (signed nibbles, w = q * scale + zero_point) or
IntxUnpackedToInt8Tensor, as torchao's flatten_tensor_state_dict writes them. quantization.json says
by which recipe.

Interrupted at any moment, the partial folder holds whole weights up to a journalled byte, and the
same layout continues there; the finished bytes are the same as those of a run without interruption.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from python.artifact import atomic_write, strict_json
from python.artifact.strict_json import Fields
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.hugging_face_checkpoint import CONFIG_NAME
from python.checkpoint.safetensors_reader import DTYPES, INDEX_NAME
from python.checkpoint.safetensors_writer import write_tensor
from python.console.errors import UsageError, UserError
from python.console.progress import Progress
from python.quant import recipe as recipes
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.lattice_share import LatticeShare
from python.quant.recipe import QuantRecipe
from python.quant.store import source_files, store_layout
from python.quant.store.folder_config import folder_config
from python.quant.store.store_layout import Shard, StoredWeight
from python.quant.store.weight_parts import WeightParts

MARKER = "quantization.json"
FORMAT_VERSION = 1
CONVENTION = (
    "torchao: Int4Tensor w = q * scale + zero_point with q from -8 to 7; "
    "IntxUnpackedToInt8Tensor w = (q - zero_point) * scale"
)
_JOURNAL = "journal.json"
_MAX_JOURNAL_BYTES = 16 << 20
_BYTES_BETWEEN_SYNCS = 256 << 20
_HEADER_SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run behaves; none of it changes the bytes that it writes, but `shard_bytes`."""

    overwrite: bool = False
    resume: bool = False
    progress: str = "auto"
    device: str = "cpu"
    shard_bytes: int = store_layout.SHARD_BYTES
    note: Callable[[str], None] | None = None  # is told what a killed run had left


def quantize_checkpoint(
    checkpoint: Checkpoint,
    recipe: QuantRecipe,
    output: Path,
    settings: Settings,
    text: CalibrationText | None = None,
) -> LatticeShare:
    """Writes the quantized folder. Raises UserError; what was done so far is kept to resume.

    Returns what method lattice counted, which quantization.json has too.

    `text` must be given where the recipe needs one, and only there.
    """
    check_text(recipe, given=text is not None)
    weights = store_layout.lay_out_weights(checkpoint, recipe)
    shards = store_layout.lay_out_shards(weights, settings.shard_bytes)
    _check_places(checkpoint.path, output)
    partial = atomic_write.partial_path(output)
    _refuse_unfinished(partial, settings, len(weights))
    with (
        atomic_write.atomic_folder(
            output,
            marker=MARKER,
            overwrite=settings.overwrite,
            resume=settings.resume,
            keep_partial=True,
            note=settings.note,
        ) as folder,
        atomic_write.disk_space(folder, sum(shard.bytes for shard in shards)),
    ):
        journal = _Journal(folder / _JOURNAL, _fingerprint(checkpoint, recipe, settings, text))
        parts = WeightParts(checkpoint, weights, settings.device, text)
        parts.lattice = journal.lattice
        _write_shards(parts, shards, folder, journal, settings.progress)
        source_files.take_over(checkpoint, folder)
        _write_json(folder / CONFIG_NAME, _folder_config(checkpoint, weights))
        _write_json(folder / INDEX_NAME, store_layout.index_json(shards))
        _write_json(folder / MARKER, _description(checkpoint, recipe, text, parts.lattice))
        journal.remove()
    return parts.lattice


def check_text(recipe: QuantRecipe, *, given: bool) -> None:
    """Raises UsageError where a recipe lacks the calibration text that it needs, or ignores one."""
    if recipe.needs_calibration() and not given:
        raise UsageError(
            f"recipe {recipe.name} quantizes by the inputs that a text gives; pass "
            "--calibration_text FILE or --calibration_chats FILE"
        )
    if given and not recipe.needs_calibration():
        raise UsageError(
            f"recipe {recipe.name} has no method that uses a calibration text; drop "
            "--calibration_text, or use recipe calibrated"
        )


def _check_places(source: Path, output: Path) -> None:
    if output.resolve() == source.resolve():
        raise UserError(f"{output}: output and checkpoint are the same folder")


def _refuse_unfinished(partial: Path, settings: Settings, total: int) -> None:
    journal = partial / _JOURNAL
    if settings.resume or settings.overwrite or not journal.exists():
        return
    raise UserError(
        f"{partial} holds an unfinished run of {total} weights; pass --resume to go on, "
        "--overwrite to start again"
    )


class _Journal:
    """How far a run has come: (shard, weights of it, bytes of its file), all on the disk.

    `lattice`: what was counted of those weights.

    `fingerprint` is what must not have changed since the run began.
    """

    def __init__(self, path: Path, fingerprint: dict[str, str]) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self.shard, self.weights, self.bytes = 0, 0, 0
        self.lattice = LatticeShare()
        if path.exists():
            self._read()

    def record(self, shard: int, weights: int, size: int, lattice: LatticeShare) -> None:
        """To be called when all of that has been synchronized to the disk."""
        self.shard, self.weights, self.bytes = shard, weights, size
        document = {
            "shard": shard, "weights": weights, "bytes": size, "fingerprint": self._fingerprint,
            "lattice": dataclasses.asdict(lattice),
        }  # fmt: skip
        text = json.dumps(document, indent=1, sort_keys=True)
        atomic_write.write_file(self._path, text.encode(), overwrite=True)

    def remove(self) -> None:
        self._path.unlink()

    def _read(self) -> None:
        fields = Fields(strict_json.read(self._path, _MAX_JOURNAL_BYTES), self._path, "the journal")
        then = fields.mapping("fingerprint")
        for key in sorted({*then, *self._fingerprint}):
            if then.get(key) != self._fingerprint.get(key):
                raise UserError(
                    f"{self._path.parent}: {key} is not what it was when the run began; "
                    "start again with --overwrite"
                )
        self.shard = fields.integer("shard")
        self.weights = fields.integer("weights")
        self.bytes = fields.integer("bytes")
        counted = Fields(fields.mapping("lattice"), self._path, "'lattice' of the journal")
        self.lattice = LatticeShare(
            groups=counted.integer("groups"), exact=counted.integer("exact")
        )
        counted.finish()
        fields.finish()


def _fingerprint(
    checkpoint: Checkpoint,
    recipe: QuantRecipe,
    settings: Settings,
    text: CalibrationText | None,
) -> dict[str, str]:
    """Thing -> its identity, for everything that the bytes depend on."""
    identity = {
        "the recipe": hashlib.sha256(recipes.digest_text(recipe).encode()).hexdigest(),
        "the size of a shard": str(settings.shard_bytes),
        "the version of torch": torch.__version__,
    }
    if text is not None:
        # Sums of products depend on how they are split among threads.
        identity["the calibration text"] = text.identity()
        identity["the number of threads"] = str(torch.get_num_threads())
        identity["the device"] = settings.device
    for path in source_files.files_of(checkpoint):
        status = path.stat()
        with open(path, "rb") as file:
            head = hashlib.sha256(file.read(_HEADER_SAMPLE_BYTES)).hexdigest()
        identity[str(path)] = f"{status.st_size} bytes, changed at {status.st_mtime_ns}, {head}"
    return identity


def _write_shards(
    parts: WeightParts,
    shards: tuple[Shard, ...],
    folder: Path,
    journal: _Journal,
    progress_mode: str,
) -> None:
    every = [weight for shard in shards for weight in shard.weights]
    total = sum(weight.info.bytes for weight in every)
    with Progress("quantize", total=len(every), total_bytes=total, mode=progress_mode) as progress:
        for number, shard in enumerate(shards):
            done = 0 if number > journal.shard else journal.weights
            if number < journal.shard:
                done = len(shard.weights)
            skipped = shard.weights[:done]
            progress.skip(items=done, bytes_done=sum(weight.info.bytes for weight in skipped))
            path = folder / shard.name
            if done == len(shard.weights) and (
                not path.exists() or path.stat().st_size != shard.bytes
            ):
                raise UserError(
                    f"{path} is not the {shard.bytes} bytes that the journal says are finished; "
                    "start again with --overwrite"
                )
            parts.replay(shard, path, done)
            if done < len(shard.weights):
                _write_shard(parts, shard, number, path, journal, progress)


def _write_shard(
    parts: WeightParts,
    shard: Shard,
    number: int,
    path: Path,
    journal: _Journal,
    progress: Progress,
) -> None:
    """Appends the weights that the journal does not know yet."""
    done, start = (journal.weights, journal.bytes) if journal.shard == number else (0, 0)
    with open(path, "r+b" if path.exists() else "w+b") as file:
        if not start:
            file.write(shard.header)
            start = len(shard.header)
        _cut(file, path, start)
        unsynchronized = 0
        for position, weight in enumerate(shard.weights[done:], start=done + 1):
            tensors = parts.parts_of(weight)
            for name, header in weight.parts.items():
                write_tensor(file, name, tensors[name], header)
            del tensors
            progress.advance(weight.name, bytes_done=weight.info.bytes)
            unsynchronized += weight.bytes
            if unsynchronized >= _BYTES_BETWEEN_SYNCS or position == len(shard.weights):
                file.flush()
                os.fsync(file.fileno())
                journal.record(number, position, file.tell(), parts.lattice)
                unsynchronized = 0


def _cut(file: BinaryIO, path: Path, size: int) -> None:
    """Drops what was written after the last journalled byte and goes on from there."""
    file.seek(0, os.SEEK_END)
    if file.tell() < size:
        raise UserError(
            f"{path} has {file.tell()} bytes, the journal says {size}; start again with --overwrite"
        )
    file.truncate(size)
    file.seek(size)


def _folder_config(checkpoint: Checkpoint, weights: tuple[StoredWeight, ...]) -> dict[str, Any]:
    return folder_config(
        source_files.config_json_of(checkpoint),
        checkpoint.config,
        DTYPES[checkpoint.describe("embed_tokens.weight").encoding],
        {weight.stored: weight.config for weight in weights if weight.config is not None},
    )


def _description(
    checkpoint: Checkpoint,
    recipe: QuantRecipe,
    text: CalibrationText | None,
    lattice: LatticeShare,
) -> dict[str, Any]:
    """The content of quantization.json: nothing that differs between two runs."""
    described = {
        "format_version": FORMAT_VERSION,
        "recipe_name": recipe.name if recipe.name in recipes.NAMED else "custom",
        "recipe": recipe.to_json(),
        "convention": CONVENTION,
        "source": {
            "config_sha256": source_files.config_sha256(checkpoint),
            "bytes": sum(checkpoint.describe(name).bytes for name in checkpoint.names()),
        },
        "versions": {"torch": torch.__version__},
    }
    if text is not None:
        described["calibration"] = _calibration(text)
    if lattice.groups:
        described["lattice"] = dataclasses.asdict(lattice)
    return described


def _calibration(text: CalibrationText) -> dict[str, Any]:
    sequences, length = text.tokens.shape
    return {"sha256": text.sha256, "sequences": sequences, "tokens_each": length}


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
