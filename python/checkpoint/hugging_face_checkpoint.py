"""A Hugging Face folder as a `Checkpoint`: its config, safetensors, tokenizer, generation config.

A weight may be several tensors of the folder, quantized by whatever wrote it: `folder_sources`
finds out. A folder that python/quant wrote keeps names and values, so this reader serves it too.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from python.artifact import strict_json
from python.checkpoint import generation
from python.checkpoint.checkpoint import Checkpoint, HuggingFaceTokenizer, TokenizerSource
from python.checkpoint.completeness import as_format_errors, check_complete
from python.checkpoint.config_hf import config_from_hf
from python.checkpoint.folder_sources import folder_sources
from python.checkpoint.gguf_reader import GgufFile
from python.checkpoint.gguf_tokenizer_keys import tokenizer_of
from python.checkpoint.safetensors_reader import SafetensorsFolder
from python.checkpoint.stored_names import HF_HEADS, canonical_from_hf
from python.checkpoint.tensor import DenseTensor, IntegerForm, StoredTensor, TensorInfo
from python.checkpoint.weight_source import PlainSource, WeightSource
from python.console.errors import FormatError
from python.model.gemma_config import GemmaConfig
from python.model.weight_names import WeightError, is_norm

CONFIG_NAME = "config.json"
# A GGUF file without tensors: the tokenizer of a folder that was made from a GGUF.
TOKENIZER_GGUF = "tokenizer.gguf"
_MAX_JSON_BYTES = 16 << 20
_MAX_CONFIG_BYTES = 1 << 20


class HuggingFaceCheckpoint(Checkpoint):
    """Raises FormatError for a folder that is not a checkpoint of a text model we know."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        values = _read_object(folder / CONFIG_NAME, _MAX_CONFIG_BYTES)
        self.config_json = values
        self._files = SafetensorsFolder(folder)
        self.files = self._files.paths
        try:
            with as_format_errors(folder):
                self.config, self._sources = _canonical_sources(
                    self._files, values, config_from_hf(values)
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
        return self._sources[name].name

    def describe(self, name: str) -> TensorInfo:
        return self._sources[name].describe(name)

    def form(self, name: str) -> IntegerForm | None:
        return self._sources[name].form()

    def read_stored(self, name: str) -> StoredTensor:
        """The tensor exactly as the folder stores it (of a norm of Gemma 3: w, not 1 + w)."""
        return self._sources[name].read()

    def read(self, name: str) -> StoredTensor:
        tensor = self.read_stored(name)
        if is_norm(name) and isinstance(tensor, DenseTensor):
            return DenseTensor(values=_norm_factor(tensor.values, self.config))
        return tensor

    def read_part(self, name: str, part: str) -> torch.Tensor | None:
        source = self._sources[name]
        return source.tensor(part) if part in source.parts else None

    def will_read(self, name: str) -> None:
        self._sources[name].will_read()

    def close(self) -> None:
        self._files.close()

    def _check_tied_head(self) -> None:
        """A tied model may store its head all the same; then it must be the embedding."""
        heads = [name for name in HF_HEADS if name in self._files.names]
        if not heads or not self.config.tied_embeddings:
            return
        embedding = self._sources["embed_tokens.weight"].read()
        if not isinstance(embedding, DenseTensor) or not torch.equal(
            self._files.read(heads[0]), embedding.values
        ):
            raise FormatError(
                self.path,
                f"config.json ties the head to the embedding, but {heads[0]!r} differs from it; "
                "set tie_word_embeddings to false if the head is a matrix of its own",
            )


def _read_object(path: Path, max_bytes: int = _MAX_JSON_BYTES) -> Mapping[str, Any]:
    if not path.is_file():
        raise FormatError(
            path.parent, f"holds no {path.name}, so it is not a Hugging Face checkpoint"
        )
    value = strict_json.read(path, max_bytes)
    if not isinstance(value, dict):
        raise FormatError(path, "must hold a JSON object")
    return value


def _norm_factor(stored: torch.Tensor, config: GemmaConfig) -> torch.Tensor:
    """The float32 factor of a norm: 1 + w where the checkpoint stores w (Gemma 3)."""
    return 1.0 + stored.float() if config.norm_offset else stored.float()


def _canonical_sources(
    files: SafetensorsFolder, values: Mapping[str, Any], config: GemmaConfig
) -> tuple[GemmaConfig, dict[str, WeightSource]]:
    """Canonical name -> source, and the config: a quantized head is a matrix of its own.

    Of a tied model too, since it has other values than the embedding.
    """
    untied = dataclasses.replace(config, tied_embeddings=False)
    stored = folder_sources(files, values, lambda name: _is_ours(name, untied))
    if config.tied_embeddings and _has_own_head(stored):
        config = untied
    sources: dict[str, WeightSource] = {}
    for name in sorted(stored):
        canonical = canonical_from_hf(name, config)
        if canonical is None:
            continue
        if canonical in sources:
            raise FormatError(
                files.folder,
                f"holds {name!r:.90} and {sources[canonical].name!r:.90}, which are the same"
                " weight",
            )
        sources[canonical] = stored[name]
    return config, sources


def _has_own_head(stored: Mapping[str, WeightSource]) -> bool:
    """Whether there is a head, and it or the embedding is quantized."""
    ends = ("embed_tokens.weight", *HF_HEADS)
    found = [source for name, source in stored.items() if name.endswith(ends)]
    return any(name in stored for name in HF_HEADS) and not all(
        isinstance(source, PlainSource) for source in found
    )


def _is_ours(name: str, config: GemmaConfig) -> bool:
    try:
        return canonical_from_hf(name, config) is not None
    except WeightError:
        return False


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
