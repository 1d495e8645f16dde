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

from python.checkpoint import generation, names
from python.checkpoint.checkpoint import Checkpoint, ConfigSource, GgufTokenizer
from python.checkpoint.gguf_metadata import StringArray
from python.checkpoint.gguf_reader import GgufFile, GgufTensor
from python.checkpoint.tensor import BlockTensor, DenseTensor, StoredTensor, TensorInfo
from python.console.errors import FormatError

ARCHITECTURES = ("gemma3", "gemma4")
_ROPE_FACTORS = "rope_freqs.weight"
_SPLIT_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_MAX_SPLITS = 1000
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# Of Gemma 4's full layers: frequencies divided by 1 turn, those divided by this or more do not.
_UNUSED_FREQUENCY = 1e30


class GgufCheckpoint(Checkpoint):
    """Raises FormatError for a file that is damaged, of another architecture, or has tensors we do
    not know.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: list[GgufFile] = []
        try:
            self._open(path)
            self._metadata = self._files[0].metadata
            self._owners = self._merge()
            self._architecture = self._check_architecture()
            self._sources = self._canonical_sources()
            self._check_rope_factors()
            self._drop_tied_head()
        except BaseException:
            self.close()
            raise
        self.config = ConfigSource(
            kind="gguf", values=plain_metadata(self._metadata), tensor_names=frozenset(self._owners)
        )
        self.tokenizer = self._read_tokenizer()
        tokens = () if self.tokenizer is None else self.tokenizer.tokens
        self.generation = generation.from_gguf(self._architecture, self._metadata, tokens, path)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._sources, key=names.order))

    def describe(self, name: str) -> TensorInfo:
        tensor = self._tensor(self._sources[name])
        return TensorInfo(
            name=name, encoding=tensor.type.name, shape=tensor.shape, bytes=tensor.bytes
        )

    def read(self, name: str) -> StoredTensor:
        return self._read(self._sources[name])

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

    def _check_architecture(self) -> str:
        architecture = self._metadata.get("general.architecture")
        if architecture not in ARCHITECTURES:
            raise FormatError(
                self.path,
                f"has the architecture {architecture!r:.60}, only {' and '.join(ARCHITECTURES)} "
                "are supported",
            )
        return str(architecture)

    def _canonical_sources(self) -> dict[str, str]:
        sources = {}
        for stored in self._owners:
            if stored == _ROPE_FACTORS:
                continue
            try:
                sources[names.from_gguf(stored)] = stored
            except KeyError:
                raise FormatError(
                    self.path, f"holds {stored!r}, which no dense Gemma text model has"
                ) from None
        return sources

    def _check_rope_factors(self) -> None:
        """The frequencies are computed from the config; a file whose factors say otherwise is not
        such a model.
        """
        if _ROPE_FACTORS not in self._owners:
            return
        tensor = self._read(_ROPE_FACTORS)
        if not isinstance(tensor, DenseTensor):
            raise FormatError(self.path, f"{_ROPE_FACTORS!r} is quantized")
        factors = tensor.values.to(torch.float32).reshape(-1)
        turning = int((factors == 1.0).sum())
        if (
            self._architecture != "gemma4"
            or turning * 4 != len(factors)
            or not (
                bool((factors[:turning] == 1.0).all())
                and bool((factors[turning:] >= _UNUSED_FREQUENCY).all())
            )
        ):
            raise FormatError(
                self.path,
                f"{_ROPE_FACTORS!r} is not that of {self._architecture} (1 in the first quarter, "
                f"{_UNUSED_FREQUENCY:g} in the rest)"
            )  # fmt: skip

    def _drop_tied_head(self) -> None:
        """Some files repeat the embedding as the head; then it is not offered again."""
        if names.HEAD not in self._sources or names.EMBEDDING not in self._sources:
            return
        head, embedding = (
            self._tensor(self._sources[names.HEAD]),
            self._tensor(self._sources[names.EMBEDDING]),
        )
        if (head.type, head.shape) == (embedding.type, embedding.shape):
            same = np.array_equal(
                self._owners[head.name].read(head.name),
                self._owners[embedding.name].read(embedding.name),
            )
            if same:
                del self._sources[names.HEAD]

    def _read_tokenizer(self) -> GgufTokenizer | None:
        get = {
            key.removeprefix("tokenizer.ggml."): value for key, value in self._metadata.items()
        }.get
        tokens = get("tokens")
        if tokens is None:
            return None
        scores, kinds, merges = get("scores"), get("token_type"), get("merges", ())
        if not isinstance(tokens, StringArray) or not isinstance(merges, StringArray | tuple):
            raise FormatError(
                self.path, "tokenizer.ggml.tokens and merges must be arrays of strings"
            )
        for key, value in (("scores", scores), ("token_type", kinds)):
            if value is not None and (
                not isinstance(value, np.ndarray) or len(value) != len(tokens)
            ):
                raise FormatError(
                    self.path,
                    f"tokenizer.ggml.{key} must have a number for each of the {len(tokens)} tokens",
                )
        return GgufTokenizer(
            model=str(get("model")),
            tokens=tokens.to_list(),
            scores=[] if scores is None else scores.tolist(),
            kinds=[1] * len(tokens) if kinds is None else kinds.tolist(),
            merges=merges.to_list() if isinstance(merges, StringArray) else [],
            bos_id=self._token_id(get("bos_token_id"), "bos_token_id", len(tokens)),
            unknown_id=None if get("unknown_token_id") is None
            else self._token_id(get("unknown_token_id"), "unknown_token_id", len(tokens)),
            add_bos=bool(get("add_bos_token", True)),
            add_space_prefix=bool(get("add_space_prefix", False)),
        )  # fmt: skip

    def _token_id(self, value: object, key: str, vocabulary: int) -> int:
        if type(value) is not int or not 0 <= value < vocabulary:
            raise FormatError(
                self.path,
                f"tokenizer.ggml.{key} is {value!r:.40}, not an id of the {vocabulary} tokens",
            )
        return value


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
