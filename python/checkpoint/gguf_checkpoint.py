"""A GGUF file as a `Checkpoint`. Architectures gemma3 and gemma4, as llama.cpp writes them.

llama.cpp stores a norm's factor itself (1 + w of Gemma 3), so norms need no change. A file may be
one of several splits (gguf-split): opening any of them opens all.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from python.checkpoint import generation
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.completeness import as_format_errors, check_complete
from python.checkpoint.config_gguf import config_from_gguf
from python.checkpoint.gguf_metadata import StringArray
from python.checkpoint.gguf_reader import GgufFile, GgufTensor
from python.checkpoint.gguf_tokenizer_keys import tokenizer_of
from python.checkpoint.stored_names import canonical_from_gguf, gguf_from_canonical
from python.checkpoint.tensor import BlockTensor, DenseTensor, StoredTensor, TensorInfo
from python.console.errors import FormatError
from python.model.rope import check_frequency_factors
from python.model.weight_names import is_norm

_ROPE_FACTORS = "rope_freqs.weight"
_HEAD = gguf_from_canonical("lm_head.weight")
_EMBEDDING = gguf_from_canonical("embed_tokens.weight")
_SPLIT_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_MAX_SPLITS = 1000
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class GgufCheckpoint(Checkpoint):
    """Raises FormatError for a damaged file, another architecture, or a tensor we do not know."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: list[GgufFile] = []
        try:
            self._open(path)
            self.files = tuple(file.path for file in self._files)
            self._metadata = self._files[0].metadata
            self._owners = self._merge()
            tensor_names = self._names_without_tied_head()
            with as_format_errors(path):
                self.config = config_from_gguf(plain_metadata(self._metadata), tensor_names)
                self._sources = self._canonical_sources(tensor_names)
                self._check_rope_factors()
            check_complete(path, self.config, {name: self.describe(name) for name in self._sources})
            self.tokenizer = tokenizer_of(self._metadata, path)
            tokens = () if self.tokenizer is None else self.tokenizer.tokens
            architecture = str(self._metadata["general.architecture"])
            self.generation = generation.from_gguf(architecture, self._metadata, tokens, path)
        except BaseException:
            self.close()
            raise

    def describe(self, name: str) -> TensorInfo:
        tensor = self._tensor(self._sources[name])
        return TensorInfo(
            name=name, encoding=tensor.type.name, shape=tensor.shape, bytes=tensor.bytes
        )

    def read(self, name: str) -> StoredTensor:
        return self._read(self._sources[name])

    def read_stored(self, name: str) -> StoredTensor:
        tensor = self.read(name)
        if is_norm(name) and self.config.norm_offset and isinstance(tensor, DenseTensor):
            return DenseTensor(values=tensor.values.float() - 1)
        return tensor

    def metadata_alone(self) -> bytes:
        """A GGUF file of this one's metadata and no tensor: its tokenizer above all."""
        return self._files[0].metadata_alone()

    def will_read(self, name: str) -> None:
        stored = self._sources[name]
        self._owners[stored].will_read(stored)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _tensor(self, stored: str) -> GgufTensor:
        return self._owners[stored].tensors[stored]

    def _read(self, stored: str) -> StoredTensor:
        tensor = self._tensor(stored)
        data = self._owners[stored].read(stored)
        if tensor.type.is_plain:
            values = torch.from_numpy(data).view(_DTYPES[tensor.type.name])
            return DenseTensor(values=values.reshape(tensor.shape))
        return BlockTensor(type=tensor.type, columns=tensor.shape[-1], blocks=data)

    def _open(self, path: Path) -> None:
        first = GgufFile(path)
        self._files.append(first)
        count = first.metadata.get("split.count", 1)
        if type(count) is not int or not 0 <= count <= _MAX_SPLITS:
            raise FormatError(
                path,
                f"says that it is one of {count!r:.40} splits (at most {_MAX_SPLITS} are read)",
            )
        if count <= 1:
            return
        match = _SPLIT_NAME.fullmatch(path.name)
        if match is None or int(match[3]) != count:
            raise FormatError(
                path,
                f"is one of {count} splits, so it must be named like "
                f"NAME-00001-of-{count:05d}.gguf",
            )
        siblings = [
            path.with_name(f"{match[1]}-{number + 1:05d}-of-{count:05d}.gguf")
            for number in range(count)
        ]
        first.close()
        self._files.clear()
        for number, sibling in enumerate(siblings):
            if not sibling.exists():
                raise FormatError(
                    sibling, f"is missing: it is split {number + 1} of {count} of {path.name}"
                )
            file = GgufFile(sibling)
            self._files.append(file)
            if (file.metadata.get("split.no"), file.metadata.get("split.count")) != (number, count):
                raise FormatError(
                    sibling, f"is not split {number + 1} of {count}, though its name says so"
                )

    def _merge(self) -> dict[str, GgufFile]:
        owners: dict[str, GgufFile] = {}
        for file in self._files:
            for stored in file.tensors:
                if stored in owners:
                    raise FormatError(
                        file.path, f"holds {stored!r}, which {owners[stored].path.name} holds too"
                    )
                owners[stored] = file
        promised = self._metadata.get("split.tensors.count", len(owners))
        if promised != len(owners):
            raise FormatError(
                self.path,
                f"and its splits hold {len(owners)} tensors, {promised!r:.40} were promised",
            )
        return owners

    def _names_without_tied_head(self) -> frozenset[str]:
        """The file's names; a head that only repeats the embedding is left out."""
        found = frozenset(self._owners)
        if not {_HEAD, _EMBEDDING} <= found:
            return found
        head, embedding = self._tensor(_HEAD), self._tensor(_EMBEDDING)
        if (head.type, head.shape) == (embedding.type, embedding.shape) and np.array_equal(
            self._owners[_HEAD].read(_HEAD), self._owners[_EMBEDDING].read(_EMBEDDING)
        ):
            return found - {_HEAD}
        return found

    def _canonical_sources(self, tensor_names: frozenset[str]) -> dict[str, str]:
        sources = {}
        for stored in sorted(tensor_names):
            canonical = canonical_from_gguf(stored, self.config)
            if canonical is not None:
                sources[canonical] = stored
        return sources

    def _check_rope_factors(self) -> None:
        if _ROPE_FACTORS not in self._owners:
            return
        tensor = self._read(_ROPE_FACTORS)
        if not isinstance(tensor, DenseTensor):
            raise FormatError(self.path, f"{_ROPE_FACTORS!r} is quantized")
        check_frequency_factors(
            self.config.full, tensor.values.to(torch.float32).flatten().tolist()
        )


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata with ordinary lists in place of arrays."""
    plain: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif isinstance(value, StringArray):
            value = value.to_list()
        plain[key] = value
    return plain
