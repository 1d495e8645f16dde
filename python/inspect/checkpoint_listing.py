"""What a checkpoint holds: a GGUF file, a safetensors file, or a folder of them.

A checkpoint that our programs can use is listed with its canonical names and its model. Anything
else of these formats is listed as it stands, with the reason why it would be refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.gguf_metadata import StringArray
from python.checkpoint.gguf_reader import GgufFile
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.safetensors_reader import SafetensorsFile, SafetensorsFolder
from python.checkpoint.tensor import TensorInfo
from python.console.errors import UserError
from python.console.listing import Listing, Table, bits_per_weight, totals_by

_COLUMNS = ("name", "type", "shape", "bits_per_weight", "bytes")


def list_gguf(path: Path) -> Listing:
    """A GGUF file with its metadata. Raises FormatError where the format itself is broken."""
    file = GgufFile(path)
    file.close()
    tensors = [
        TensorInfo(name=name, encoding=tensor.type.name, shape=tensor.shape, bytes=tensor.bytes)
        for name, tensor in file.tensors.items()
    ]
    metadata = tuple((key, _metadata_value(value)) for key, value in file.metadata.items())
    tables = {"metadata": Table(columns=("key", "value"), rows=metadata)}
    return _with_checkpoint("GGUF file", path, tensors, tables)


def list_safetensors(path: Path) -> Listing:
    """One safetensors file, by its own header."""
    file = SafetensorsFile(path)
    file.close()
    tensors = [
        TensorInfo(name=name, encoding=entry.dtype, shape=entry.shape, bytes=entry.bytes)
        for name, entry in file.entries.items()
    ]
    metadata = tuple((key, value) for key, value in file.metadata.items())
    tables = {"metadata": Table(columns=("key", "value"), rows=metadata)} if metadata else {}
    return _listing("safetensors file", path, tensors, {}, tables, None)


def list_folder(path: Path) -> Listing:
    """A folder of safetensors files."""
    folder = SafetensorsFolder(path)
    folder.close()
    tensors = []
    for name in folder.names:
        entry = folder.entry(name)
        tensors.append(
            TensorInfo(name=name, encoding=entry.dtype, shape=entry.shape, bytes=entry.bytes)
        )
    return _with_checkpoint("safetensors folder", path, tensors, {})


def _with_checkpoint(
    kind: str, path: Path, stored: list[TensorInfo], tables: Mapping[str, Table]
) -> Listing:
    """Lists it as a checkpoint if it is one, else its stored tensors and what is wrong."""
    try:
        with open_checkpoint(path) as checkpoint:
            described = [checkpoint.describe(name) for name in checkpoint.names()]
            return _listing(kind, path, described, _model_facts(checkpoint), tables, None)
    except UserError as error:
        return _listing(kind, path, stored, {}, tables, str(error))


def _model_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    config = checkpoint.config
    return {
        "layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        "tokenizer": "yes" if checkpoint.tokenizer is not None else "none",
        "stop_ids": list(checkpoint.generation.stop_ids),
    }


def _listing(
    kind: str,
    path: Path,
    tensors: list[TensorInfo],
    facts: Mapping[str, Any],
    tables: Mapping[str, Table],
    problem: str | None,
) -> Listing:
    elements = sum(tensor.elements for tensor in tensors)
    size = sum(tensor.bytes for tensor in tensors)
    totals: dict[str, float] = {"tensors": len(tensors), "parameters": elements, "bytes": size}
    totals["bits_per_weight"] = bits_per_weight(size, elements)
    rows = tuple(
        (tensor.name, tensor.encoding, list(tensor.shape), bits_per_weight(tensor.bytes, tensor.elements),
         tensor.bytes)
        for tensor in tensors
    )  # fmt: skip
    types = totals_by("type", ((t.encoding, t.elements, t.bytes) for t in tensors))
    every = {**tables, "types": types, "tensors": Table(columns=_COLUMNS, rows=rows)}
    return Listing(
        kind=kind, path=str(path), facts={**facts, "total": totals}, tables=every, problem=problem
    )


def _metadata_value(value: Any) -> Any:
    """Long arrays and texts are named, not shown."""
    if isinstance(value, StringArray):
        return f"{len(value)} strings"
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= 8 else f"{value.size} numbers ({value.dtype.name})"
    if isinstance(value, str) and len(value) > 200:
        return f"{value[:80]}... ({len(value)} characters)"
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
