"""What a quantized folder will hold, before the first weight is read.

Parts, types, shapes and shards follow from the checkpoint's headers and the recipe alone. So the
files' headers can be written first, weights one at a time after them, and an interrupted run
continues at a byte that is known.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from python.checkpoint import torchao_metadata
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.quantized import scale_dtype
from python.checkpoint.safetensors_reader import DTYPES
from python.checkpoint.safetensors_writer import TensorHeader, header_bytes
from python.checkpoint.stored_names import hf_from_canonical
from python.checkpoint.tensor import TensorInfo
from python.console.errors import UserError
from python.pack.layouts import Layout, WeightShape
from python.quant.calibration.calibration import check_calibratable
from python.quant.recipe import QuantConfig, QuantRecipe, is_quantizable

SHARD_BYTES = 5_000_000_000


@dataclass(frozen=True, kw_only=True)
class StoredWeight:
    """One weight of the checkpoint, and what is written for it.

    `stored` is its name in the folder, `parts` the tensors that hold it there.
    `rule` is the number of the recipe's rule that decided; None for norms and layer scalars, on
    which none does.
    """

    name: str
    stored: str
    info: TensorInfo
    rule: int | None
    config: QuantConfig | None
    parts: Mapping[str, TensorHeader]
    metadata: str

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts.values())

    def packed(self) -> WeightShape:
        """How it will lie in an artifact."""
        if len(self.info.shape) < 2:
            return WeightShape(layout=Layout.F32, rows=1, columns=self.info.elements)
        rows, columns = self.info.shape
        if self.config is None:
            return WeightShape(layout=Layout[self.info.encoding], rows=rows, columns=columns)
        return self.config.shape_of(self.name, rows, columns)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One safetensors file: its header and the weights whose parts follow, in order."""

    name: str
    header: bytes
    weights: tuple[StoredWeight, ...]

    @property
    def bytes(self) -> int:
        return len(self.header) + sum(weight.bytes for weight in self.weights)


def lay_out_weights(checkpoint: Checkpoint, recipe: QuantRecipe) -> tuple[StoredWeight, ...]:
    """The parts of every weight, in the order of the computation. Raises UserError."""
    return tuple(_lay_out_weight(checkpoint, name, recipe) for name in checkpoint.names())


def lay_out_shards(
    weights: tuple[StoredWeight, ...], shard_bytes: int = SHARD_BYTES
) -> tuple[Shard, ...]:
    """Distributes the weights over files of at most `shard_bytes`, or of one larger weight.

    Each file's header describes the weights of all of them, as torchao's own writer does:
    transformers takes the list of names from the last file that it opens.
    """
    shards: list[list[StoredWeight]] = []
    size = 0
    for weight in weights:
        if not shards or size + weight.bytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(weight)
        size += weight.bytes
    metadata = {weight.stored: weight.metadata for weight in weights}
    metadata["tensor_names"] = json.dumps([weight.stored for weight in weights])
    metadata["format"] = "pt"
    return tuple(
        _shard(number, len(shards), tuple(part), metadata) for number, part in enumerate(shards)
    )


def index_json(shards: tuple[Shard, ...]) -> dict[str, object]:
    """The content of model.safetensors.index.json."""
    return {
        "metadata": {
            "total_size": sum(weight.bytes for shard in shards for weight in shard.weights)
        },
        "weight_map": {
            part: shard.name
            for shard in shards
            for weight in shard.weights
            for part in weight.parts
        },
    }


def _lay_out_weight(checkpoint: Checkpoint, name: str, recipe: QuantRecipe) -> StoredWeight:
    info = checkpoint.describe(name)
    if info.encoding not in DTYPES:
        raise UserError(f"{checkpoint.path}: {name} is quantized already ({info.encoding})")
    stored = hf_from_canonical(name)  # that of the text model alone, whatever the source has
    rule = recipe.rule_for(name)[0] if is_quantizable(name) else None
    config = recipe.config_for(name)
    check_calibratable(name, config)
    parts = {stored: TensorHeader(dtype=DTYPES[info.encoding], shape=info.shape)}
    metadata = torchao_metadata.PLAIN
    if config is not None:
        parts, metadata = _quantized_parts(name, stored, info, config)
    return StoredWeight(
        name=name,
        stored=stored,
        info=info,
        rule=rule,
        config=config,
        parts=parts,
        metadata=metadata,
    )


def _quantized_parts(
    name: str, stored: str, info: TensorInfo, config: QuantConfig
) -> tuple[dict[str, TensorHeader], str]:
    rows, columns = info.shape
    group = config.group_of(name, columns)
    groups, dtype = columns // group, scale_dtype(columns, group)
    if config.bits == 4:
        parts = {
            "qdata": TensorHeader(dtype=torch.uint8, shape=(rows, columns // 2)),
            "scale": TensorHeader(dtype=dtype, shape=(groups, rows)),
            "zero_point": TensorHeader(dtype=dtype, shape=(groups, rows)),
        }
    else:
        parts = {
            "qdata": TensorHeader(dtype=torch.int8, shape=(rows, columns)),
            "scale": TensorHeader(dtype=dtype, shape=(rows, groups)),
            "zero_point": TensorHeader(dtype=torch.int8, shape=(rows, groups)),
        }
    class_name, attributes = torchao_metadata.attributes(
        config.bits, info.shape, group, DTYPES[info.encoding]
    )
    named = {torchao_metadata.part_name(stored, part): header for part, header in parts.items()}
    return named, torchao_metadata.entry(class_name, attributes, tuple(parts))


def _shard(
    number: int, count: int, weights: tuple[StoredWeight, ...], metadata: Mapping[str, str]
) -> Shard:
    parts = {part: header for weight in weights for part, header in weight.parts.items()}
    name = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
    return Shard(name=name, header=header_bytes(parts, metadata), weights=weights)
