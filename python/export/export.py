"""From an open checkpoint to an artifact folder: plans, weights, tokenizer, manifest.

What must stay true: the folder appears whole or not at all; one weight at a time is made, and while
others wait to be written all together have no more bytes than the largest one as it is stored and
as it is packed; the same checkpoint, recipe and limits give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from python.artifact import atomic_write, manifest
from python.checkpoint.checkpoint import (
    Checkpoint,
    GgufTokenizer,
    HuggingFaceTokenizer,
    TokenizerSource,
)
from python.checkpoint.generation import check_suppressed_ids
from python.console.errors import UsageError, UserError
from python.console.notes import note
from python.console.progress import Progress
from python.export import memory_estimate, ptd_writer
from python.export.build_plan import build_plan
from python.export.constant_methods import Constant, constant_methods
from python.export.trace import Limits
from python.export.weight_table import WeightTable, with_shapes
from python.export.write_behind import WriteBehind
from python.model.gemma_config import GemmaConfig, ScaleDtype
from python.pack.layouts import WeightShape
from python.plan import plan as p
from python.quant.recipe import QuantRecipe
from python.text.gguf_tokenizer import tokenizer_from_gguf
from python.text.hugging_face_tokenizer import tokenizer_from_json
from python.text.tokenizer_data import TokenizerData
from python.text.tokenizer_file import serialize

MAX_PREFILL_CHUNK = 2048
DEFAULT_PREFILL_CHUNK = 1024  # the fewest tokens with which an H100 reaches its speed
# The same on the CPU and on CUDA, which has no caches in bfloat16.
CACHE_DTYPES = {d.text: d for d in (p.DType.F16, p.DType.F32)}
PRECISIONS = {
    a.value: a for a in (p.ActivationPrecision.FLOAT16, p.ActivationPrecision.FLOAT16_PAIRS)
}
PROGRAM_FILE, WEIGHTS_FILE, TOKENIZER_FILE = "model.pte", "model.ptd", "tokenizer.bin"
_EMBEDDING = "embed_tokens.weight"
_SCALE_DTYPES: Mapping[str, ScaleDtype] = {"F16": "float16", "BF16": "bfloat16"}
_VERSIONED = ("executorch", "torch")
_BESIDE_WEIGHTS = 24 << 20  # more than the program, the tokenizer and the manifest take

MakeProgress = Callable[..., AbstractContextManager[Progress]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreparedExport:
    """All that is known before a weight is read: what --dry_run prints."""

    config: GemmaConfig
    recipe: QuantRecipe
    plans: tuple[p.Plan, ...]  # in the order of Plan.METHODS
    shapes: Mapping[str, WeightShape]
    table: WeightTable

    @property
    def prefill(self) -> p.Plan:
        return next(plan for plan in self.plans if plan.method == "prefill")

    @property
    def weight_sizes(self) -> list[memory_estimate.WeightSize]:
        """Of every weight, in the order in which they are made."""
        return [
            memory_estimate.WeightSize(
                stored=self.table.stored_bytes(weight.name),
                packed=weight.bytes,
                integers=self.table.integer_bytes(weight.name),
            )
            for weight in self.prefill.weights
        ]

    @property
    def blobs(self) -> list[ptd_writer.Blob]:
        return [ptd_writer.Blob(key=w.data_key, bytes=w.bytes) for w in self.prefill.weights]


def read_config(checkpoint: Checkpoint) -> GemmaConfig:
    """The checkpoint's configuration, with its embedding scale settled.

    The model is traced in float32; where the scale is rounded to the type of the embedding, that is
    the type in which the checkpoint stores it (float32 where it is quantized).
    """
    config = checkpoint.config
    if config.embed_scale_dtype != "weights":
        return config
    stored = checkpoint.describe(_EMBEDDING).encoding
    return dataclasses.replace(config, embed_scale_dtype=_SCALE_DTYPES.get(stored, "float32"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a user decides beside the recipe."""

    max_seq_len: int
    max_prefill_chunk: int
    kv_cache_dtype: str  # a key of CACHE_DTYPES
    activation_precision: str | None = None  # a key of PRECISIONS; None: what suits the caches
    allow_lossy: bool = False  # round weights that no layout holds as they are stored

    def limits(self, config: GemmaConfig) -> Limits:
        """Raises UsageError where the model cannot hold so much."""
        if not 1 <= self.max_seq_len <= config.max_positions:
            raise UsageError(
                f"max_seq_len {self.max_seq_len} is outside 1 to {config.max_positions}, the"
                f" positions of {config.name}"
            )
        most = min(MAX_PREFILL_CHUNK, self.max_seq_len)
        if not 1 <= self.max_prefill_chunk <= most:
            raise UsageError(
                f"max_prefill_chunk {self.max_prefill_chunk} is outside 1 to {most} (it is at most"
                f" {MAX_PREFILL_CHUNK}, and max_seq_len)"
            )
        if self.kv_cache_dtype not in CACHE_DTYPES:
            known = " or ".join(CACHE_DTYPES)
            raise UsageError(f"kv_cache_dtype {self.kv_cache_dtype} is unknown (use {known})")
        cache = CACHE_DTYPES[self.kv_cache_dtype]
        return Limits(
            max_context=self.max_seq_len,
            max_tokens=self.max_prefill_chunk,
            cache_dtype=getattr(torch, cache.text),
            activations=self._activations(cache),
        )

    def _activations(self, cache: p.DType) -> p.ActivationPrecision:
        if self.activation_precision is None:
            return p.precision_of([cache])
        if self.activation_precision not in PRECISIONS:
            raise UsageError(
                f"activation_precision {self.activation_precision} is unknown"
                f" (use {' or '.join(PRECISIONS)})"
            )
        return PRECISIONS[self.activation_precision]


def prepare_export(
    checkpoint: Checkpoint,
    config: GemmaConfig,
    recipe: QuantRecipe,
    options: Options,
    *,
    progress: MakeProgress = Progress,
) -> PreparedExport:
    """Traces the methods and settles the shape of every weight; reads no weight.

    Raises:
      UserError: the options, the checkpoint or the recipe do not fit the model.
    """
    limits = options.limits(config)
    check_suppressed_ids(checkpoint.generation.suppressed_ids, config.vocab_size)
    table = WeightTable(checkpoint, config, recipe, allow_lossy=options.allow_lossy)
    plans = []
    with progress("trace", total=len(p.Plan.METHODS)) as report:
        for method in p.Plan.METHODS:
            plans.append(build_plan(config, limits, method))
            report.advance(method)
    shapes = table.shapes(plans[0].weights)
    return PreparedExport(
        config=config,
        recipe=recipe,
        plans=tuple(with_shapes(plan, shapes) for plan in plans),
        shapes=shapes,
        table=table,
    )


def export_artifact(
    checkpoint: Checkpoint,
    config: GemmaConfig,
    recipe: QuantRecipe,
    options: Options,
    output: Path,
    *,
    overwrite: bool = False,
    computed_only: bool = False,
    progress: MakeProgress = Progress,
    note: Callable[[str], None] | None = None,
) -> PreparedExport:
    """Writes the artifact folder `output`; returns what is in it.

    computed_only: of the weights, only those that the configuration determines (rope tables). Such
    an artifact runs with random weights alone. note: is told what a killed export had left.

    Raises:
      UserError: `output` exists, the disk is full, or a weight cannot be read, quantized or packed.
    """
    with atomic_write.atomic_folder(
        output, marker=manifest.FILE_NAME, overwrite=overwrite, note=note
    ) as folder:
        prepared = prepare_export(checkpoint, config, recipe, options, progress=progress)
        tokenizer = read_tokenizer(checkpoint.tokenizer, config)
        weights = prepared.prefill.weights
        if computed_only:
            weights = prepared.table.computed(weights)
        with atomic_write.disk_space(folder, _disk_bytes(weights)):
            constants = _constants(checkpoint, prepared, tokenizer)
            files = [_write_program(folder, prepared, constants, progress)]
            files.append(_write_weights(folder, prepared, weights, progress))
            if tokenizer is not None:
                files.append(_write_bytes(folder, TOKENIZER_FILE, serialize(tokenizer)))
            manifest.write(folder, _describe(checkpoint, prepared, tokenizer, files))
    return prepared


def disk_bytes(prepared: PreparedExport) -> int:
    """The most that the artifact takes on the disk."""
    return _disk_bytes(prepared.prefill.weights)


def _disk_bytes(weights: Sequence[p.Weight]) -> int:
    blobs = [ptd_writer.Blob(key=w.data_key, bytes=w.bytes) for w in weights]
    return ptd_writer.file_bytes(blobs) + _BESIDE_WEIGHTS


def read_tokenizer(source: TokenizerSource | None, config: GemmaConfig) -> TokenizerData | None:
    """The checkpoint's tokenizer, None where it has none.

    Raises:
      UserError: it has more pieces than the model has embeddings,
      or is of a kind that we do not know.
    """
    if source is None:
        return None
    data = _tokenizer_data(source)
    if len(data.pieces) > config.vocab_size:
        raise UserError(
            f"{data.where}: the tokenizer has {len(data.pieces)} pieces, the model only"
            f" {config.vocab_size} embeddings"
        )
    return data


def _tokenizer_data(source: TokenizerSource) -> TokenizerData:
    if isinstance(source, HuggingFaceTokenizer):
        return tokenizer_from_json(source.path)
    assert isinstance(source, GgufTokenizer)
    metadata = {
        "model": source.model,
        "tokens": source.tokens,
        "scores": source.scores,
        "token_type": source.kinds,
        "merges": source.merges,
        "bos_token_id": source.bos_id,
        "unknown_token_id": source.unknown_id,
        "add_bos_token": source.add_bos,
        "add_space_prefix": source.add_space_prefix,
    }
    present = {key: value for key, value in metadata.items() if value not in (None, [], ())}
    return tokenizer_from_gguf({f"tokenizer.ggml.{key}": v for key, v in present.items()})


def _constants(
    checkpoint: Checkpoint, prepared: PreparedExport, tokenizer: TokenizerData | None
) -> Mapping[str, Constant]:
    bos_id = prepared.config.bos_id
    if tokenizer is not None and tokenizer.bos_id is not None:
        bos_id = tokenizer.bos_id
    stop_ids = checkpoint.generation.stop_ids
    return constant_methods(prepared.config, prepared.prefill, bos_id, stop_ids)


def _write_program(
    folder: Path,
    prepared: PreparedExport,
    constants: Mapping[str, Constant],
    progress: MakeProgress,
) -> manifest.FileEntry:
    with progress("lower", total=1) as report:
        # Imports ExecuTorch's compiler, which --help and --dry_run do without.
        from python.export.lower import lower

        data = lower(prepared.plans, constants)
        report.advance(PROGRAM_FILE)
    return _write_bytes(folder, PROGRAM_FILE, data)


def _write_weights(
    folder: Path, prepared: PreparedExport, weights: Sequence[p.Weight], progress: MakeProgress
) -> manifest.FileEntry:
    total = sum(weight.bytes for weight in weights)
    blobs = [ptd_writer.Blob(key=w.data_key, bytes=w.bytes) for w in weights]
    with (
        (folder / WEIGHTS_FILE).open("xb") as file,
        progress("weights", total=len(weights), total_bytes=total) as report,
    ):
        writer = ptd_writer.PtdWriter(file, blobs)
        writer.begin()
        _make_weights(prepared, weights, writer, report)
        written = writer.finish()
    return manifest.FileEntry(
        name=WEIGHTS_FILE,
        bytes=written.bytes,
        sha256=written.sha256,
        sections=written.sections,
    )


def _make_weights(
    prepared: PreparedExport,
    weights: Sequence[p.Weight],
    writer: ptd_writer.PtdWriter,
    report: Progress,
) -> None:
    """Makes weight after weight here; a thread hashes and writes them."""
    table, names = prepared.table, {weight.data_key: weight.name for weight in weights}
    needed = {weight.name: table.stored_bytes(weight.name) + weight.bytes for weight in weights}
    with WriteBehind(
        writer.write,
        most_bytes=max(needed.values()),
        on_written=lambda key, count: report.advance(names[key], bytes_done=count),
    ) as behind:
        for weight, following in itertools.zip_longest(weights, weights[1:]):
            behind.wait_for_room(needed[weight.name])
            if following is not None:
                table.will_make(following.name)
            made = table.make(weight.name, prepared.shapes[weight.name])
            behind.put(weight.data_key, made.data.data)
            del made
        behind.finish()


def _write_bytes(folder: Path, name: str, data: bytes) -> manifest.FileEntry:
    (folder / name).write_bytes(data)
    return manifest.FileEntry(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _describe(
    checkpoint: Checkpoint,
    prepared: PreparedExport,
    tokenizer: TokenizerData | None,
    files: list[manifest.FileEntry],
) -> manifest.Manifest:
    generation, config, prefill = checkpoint.generation, prepared.config, prepared.prefill
    return manifest.Manifest(
        model_name=config.name,
        config=config.to_json(),
        recipe=Path(prepared.recipe.name).name,
        max_seq_len=prefill.max_context,
        max_prefill_chunk=prefill.max_tokens,
        methods=p.Plan.METHODS,
        files=tuple(files),
        tokenizer=None if tokenizer is None else _tokenizer_entry(checkpoint, tokenizer),
        sampling=manifest.Sampling(
            temperature=generation.temperature, top_k=generation.top_k, top_p=generation.top_p
        ),
        versions={name: importlib.metadata.version(name) for name in _VERSIONED},
        suppressed_ids=generation.suppressed_ids,
    )


def _tokenizer_entry(checkpoint: Checkpoint, tokenizer: TokenizerData) -> manifest.TokenizerEntry:
    bos_id = checkpoint.config.bos_id if tokenizer.bos_id is None else tokenizer.bos_id
    if bos_id is None:
        raise UserError(f"{tokenizer.where}: neither the tokenizer nor the config has a BOS token")
    return manifest.TokenizerEntry(
        file=TOKENIZER_FILE,
        bos_id=bos_id,
        add_bos=tokenizer.add_bos,
        stop_ids=checkpoint.generation.stop_ids,
        chat_template=_chat_template(checkpoint, tokenizer),
    )


def _chat_template(checkpoint: Checkpoint, tokenizer: TokenizerData) -> str | None:
    text = None if checkpoint.tokenizer is None else checkpoint.tokenizer.chat_template
    name = tokenizer.chat_template(text)
    if text is not None and name is None:
        note(
            f"{tokenizer.where}: the checkpoint's chat template is not one of Gemma's, so the"
            " artifact has none (the runner's --chat_template forces one)"
        )
    return name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """Bytes that an artifact takes on the disk, of a session, and of a call."""

    weights: int
    file: int
    session: int
    activations: int


def sizes_of(prepared: PreparedExport) -> Sizes:
    """Sizes, without writing anything."""
    return Sizes(
        weights=sum(shape.bytes for shape in prepared.shapes.values()),
        file=ptd_writer.file_bytes(prepared.blobs),
        session=memory_estimate.session_bytes(prepared.prefill),
        activations=max(memory_estimate.activation_bytes(plan) for plan in prepared.plans),
    )
