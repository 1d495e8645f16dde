"""A Hugging Face folder as a `Checkpoint`: its config, safetensors, tokenizer, generation config.

A folder that python/quant wrote is one too: some of its weights are torchao tensors, whose parts
and attributes stand in the safetensors files as torchao's own flatten_tensor_state_dict names them.
Tensors keep the folder's names and values there, so this reader serves both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from python.artifact import strict_json
from python.checkpoint import generation
from python.checkpoint.checkpoint import Checkpoint, HuggingFaceTokenizer, TokenizerSource
from python.checkpoint.completeness import as_format_errors, check_complete
from python.checkpoint.config_hf import config_from_hf
from python.checkpoint.gguf_reader import GgufFile
from python.checkpoint.gguf_tokenizer_keys import tokenizer_of
from python.checkpoint.safetensors_reader import SafetensorsFolder
from python.checkpoint.stored_names import HF_HEADS, canonical_from_hf
from python.checkpoint.tensor import DenseTensor, StoredTensor, TensorInfo, TorchaoTensor
from python.console.errors import FormatError
from python.model.gemma_config import GemmaConfig
from python.model.weight_names import is_norm

CONFIG_NAME = "config.json"
# A GGUF file without tensors: the tokenizer of a folder that was made from a GGUF.
TOKENIZER_GGUF = "tokenizer.gguf"
_MAX_JSON_BYTES = 16 << 20
_TORCHAO_CLASSES = ("Int4Tensor", "IntxUnpackedToInt8Tensor")


class HuggingFaceCheckpoint(Checkpoint):
    """Raises FormatError for a folder that is not a checkpoint of a text model we know."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        values = _read_object(folder / CONFIG_NAME)
        self.config_json = values
        _refuse_foreign_quantization(values, folder)
        self._files = SafetensorsFolder(folder)
        self.files = self._files.paths
        try:
            with as_format_errors(folder):
                self.config = config_from_hf(values)
                self._attributes = _torchao_attributes(self._files)
                self._sources = _canonical_sources(
                    self._files.names, self._attributes, self.config, folder
                )
            check_complete(
                folder, self.config, {name: self.describe(name) for name in self._sources}
            )
            self._check_tied_head()
        except BaseException:
            self._files.close()
            raise
        self.tokenizer = _tokenizer(folder)
        stored = folder / "generation_config.json"
        self.generation = generation.from_hugging_face(
            _read_object(stored) if stored.exists() else None, values, folder
        )

    def stored_name(self, name: str) -> str:
        """The folder's own name of the tensor that is canonically called `name`."""
        return self._sources[name]

    def describe(self, name: str) -> TensorInfo:
        stored = self._sources[name]
        attributes = self._attributes.get(stored)
        if attributes is None:
            entry = self._files.entry(stored)
            return TensorInfo(name=name, encoding=entry.dtype, shape=entry.shape, bytes=entry.bytes)
        parts = {
            key: self._files.entry(part) for key, part in _part_names(stored, attributes).items()
        }
        rows, columns = (*parts["qdata"].shape, 0, 0)[:2]
        if attributes["_type"] == "Int4Tensor":
            columns *= 2
        size = sum(part.bytes for part in parts.values())
        return TensorInfo(
            name=name, encoding=attributes["_type"], shape=(rows, columns), bytes=size
        )

    def read_stored(self, name: str) -> StoredTensor:
        """The tensor exactly as the folder stores it (of a norm of Gemma 3: w, not 1 + w)."""
        stored = self._sources[name]
        attributes = self._attributes.get(stored)
        if attributes is None:
            return DenseTensor(values=self._files.read(stored))
        parts = {
            key: self._files.read(part) for key, part in _part_names(stored, attributes).items()
        }
        return TorchaoTensor(
            class_name=attributes["_type"], parts=parts, attributes=attributes["_data"]
        )

    def read(self, name: str) -> StoredTensor:
        tensor = self.read_stored(name)
        if is_norm(name) and isinstance(tensor, DenseTensor):
            return DenseTensor(values=_norm_factor(tensor.values, self.config))
        return tensor

    def read_part(self, name: str, part: str) -> torch.Tensor | None:
        stored = self._sources[name]
        names = _part_names(stored, self._attributes[stored])
        return self._files.read(names[part]) if part in names else None

    def will_read(self, name: str) -> None:
        stored = self._sources[name]
        attributes = self._attributes.get(stored)
        parts = [stored] if attributes is None else _part_names(stored, attributes).values()
        for part in parts:
            self._files.will_read(part)

    def close(self) -> None:
        self._files.close()

    def _check_tied_head(self) -> None:
        """A tied model may store its head all the same; then it must be the embedding."""
        heads = [name for name in HF_HEADS if name in self._files.names]
        if not heads or not self.config.tied_embeddings:
            return
        embedding = self._sources["embed_tokens.weight"]
        if embedding in self._attributes:
            raise FormatError(self.path, f"holds {heads[0]!r} beside a quantized, tied embedding")
        if not torch.equal(self._files.read(heads[0]), self._files.read(embedding)):
            raise FormatError(
                self.path,
                f"config.json ties the head to the embedding, but {heads[0]!r} differs from it; "
                "set "
                "tie_word_embeddings to false if the head is a matrix of its own",
            )


def _read_object(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FormatError(
            path.parent, f"holds no {path.name}, so it is not a Hugging Face checkpoint"
        )
    value = strict_json.read(path, _MAX_JSON_BYTES)
    if not isinstance(value, dict):
        raise FormatError(path, "must hold a JSON object")
    return value


def _refuse_foreign_quantization(config: Mapping[str, Any], folder: Path) -> None:
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    if quantization is not None and method != "torchao":
        raise FormatError(
            folder,
            f"is quantized with {method!r:.40}, which is not read; use the bfloat16 checkpoint or "
            "a GGUF of it",
        )


def _torchao_attributes(files: SafetensorsFolder) -> dict[str, Any]:
    """Stored name -> {_type, _data, _tensor_data_names} of every torchao tensor in the folder."""
    attributes = {}
    for name, text in files.metadata.items():
        if not text.startswith("{"):
            continue
        value = strict_json.parse(text.encode(), files.folder)
        if not isinstance(value, dict) or value.get("_type") in (None, "Tensor"):
            continue
        if value["_type"] not in _TORCHAO_CLASSES:
            raise FormatError(
                files.folder,
                f"{name!r:.90} is a {value['_type']!r:.40}; only {' and '.join(_TORCHAO_CLASSES)} "
                "are read",
            )
        parts = value.get("_tensor_data_names")
        if (
            not isinstance(parts, list)
            or not {"qdata", "scale"} <= set(map(str, parts))
            or "." not in name
        ):
            raise FormatError(files.folder, f"{name!r:.90} is a {value['_type']} without its parts")
        if not isinstance(value.get("_data"), dict):
            raise FormatError(
                files.folder, f"{name!r:.90} is a {value['_type']} without its attributes"
            )
        attributes[name] = value
    return attributes


def _norm_factor(stored: torch.Tensor, config: GemmaConfig) -> torch.Tensor:
    """The float32 factor of a norm: 1 + w where the checkpoint stores w (Gemma 3)."""
    return 1.0 + stored.float() if config.norm_offset else stored.float()


def _part_names(stored: str, attributes: Mapping[str, Any]) -> dict[str, str]:
    """`a.weight` -> {"qdata": "a._weight_qdata", ...}, torchao's own naming."""
    module, weight = stored.rsplit(".", 1)
    return {
        part: f"{module}._{weight}_{part}" for part in map(str, attributes["_tensor_data_names"])
    }


def _canonical_sources(
    stored_names: tuple[str, ...], attributes: Mapping[str, Any], config: GemmaConfig, folder: Path
) -> dict[str, str]:
    """Canonical name -> stored name."""
    left = set(stored_names)
    for stored, value in attributes.items():
        for part in _part_names(stored, value).values():
            if part not in left:
                raise FormatError(
                    folder, f"{stored!r:.90} is a {value['_type']}, but {part!r:.90} is missing"
                )
            left.remove(part)
    sources: dict[str, str] = {}
    for stored in sorted(left | set(attributes)):
        canonical = canonical_from_hf(stored, config)
        if canonical is None:
            continue
        if canonical in sources:
            raise FormatError(
                folder,
                f"holds {stored!r:.90} and {sources[canonical]!r:.90}, which are the same weight",
            )
        sources[canonical] = stored
    return sources


def _tokenizer(folder: Path) -> TokenizerSource | None:
    path = folder / "tokenizer.json"
    if not path.is_file():
        return _gguf_tokenizer(folder / TOKENIZER_GGUF)
    stored = folder / "tokenizer_config.json"
    config = _read_object(stored) if stored.is_file() else {}
    return HuggingFaceTokenizer(
        path=path, config=config, chat_template=_chat_template(folder, config)
    )


def _gguf_tokenizer(path: Path) -> TokenizerSource | None:
    if not path.is_file():
        return None
    file = GgufFile(path)
    try:
        return tokenizer_of(file.metadata, path)
    finally:
        file.close()


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The text of chat_template.jinja, or else what tokenizer_config.json says.

    That is a text, or a list of named texts, of which the one called default counts.
    """
    path = folder / "chat_template.jinja"
    if path.is_file():
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise FormatError(path, f"has more than {_MAX_JSON_BYTES} bytes")
        return path.read_text(encoding="utf-8", errors="replace")
    value = config.get("chat_template")
    if isinstance(value, list):
        named = [item for item in value if isinstance(item, dict) and item.get("name") == "default"]
        value = named[0].get("template") if named else None
    if value is not None and not isinstance(value, str):
        raise FormatError(folder / "tokenizer_config.json", "'chat_template' is not a text")
    return value
