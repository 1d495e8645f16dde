"""One interface to every kind of checkpoint; `open_checkpoint.py` finds out which kind a file is.

Tensors have the canonical names of docs/formats.md. A norm's weight is always the factor that
multiplies, whatever the file stores. Tensors are described at once and read one at a time.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from python.checkpoint.generation import GenerationConfig
from python.checkpoint.tensor import IntegerForm, StoredTensor, TensorInfo, TorchaoTensor
from python.model.gemma_config import GemmaConfig
from python.model.weight_names import expected_weights


@dataclass(frozen=True, kw_only=True)
class HuggingFaceTokenizer:
    """tokenizer.json of a checkpoint folder, unread, and tokenizer_config.json (empty: there is none).

    `chat_template` is the text of the template, None where the folder has none.
    """

    path: Path
    config: Mapping[str, Any]
    chat_template: str | None = None


@dataclass(frozen=True, kw_only=True)
class GgufTokenizer:
    """The tokenizer of a GGUF file: the values of its tokenizer.ggml.* keys.

    `model` is "llama" (SentencePiece: scores matter, no merges) or "gemma4" (byte-pair encoding:
    merges matter). `kinds` are llama.cpp's: 1 normal, 2 unknown, 3 control, 4 user defined, 5
    unused, 6 byte. `chat_template` is the text of the template, None where the file has none.
    """

    model: str
    tokens: Sequence[str]
    scores: Sequence[float]
    kinds: Sequence[int]
    merges: Sequence[str]
    bos_id: int
    unknown_id: int | None
    add_bos: bool
    add_space_prefix: bool
    chat_template: str | None = None


TokenizerSource = HuggingFaceTokenizer | GgufTokenizer


class Checkpoint(abc.ABC):
    """A checkpoint that is open for reading, complete and of the shapes that its config asks for.

    files: those that hold weights; config: the model; tokenizer: None where there is none.
    """

    path: Path
    files: Sequence[Path]
    config: GemmaConfig
    tokenizer: TokenizerSource | None
    generation: GenerationConfig

    def names(self) -> tuple[str, ...]:
        """The canonical names of all weights, in the order of the computation.

        `lm_head.weight` is there only if the head is a matrix of its own.
        """
        return tuple(expected_weights(self.config))

    @abc.abstractmethod
    def describe(self, name: str) -> TensorInfo:
        """Type, shape and size of a tensor, without reading it. KeyError for an unknown name."""

    @abc.abstractmethod
    def read(self, name: str) -> StoredTensor:
        """The tensor. Raises FormatError if the file no longer holds it."""

    def form(self, name: str) -> IntegerForm | None:
        """How the integers are scaled that `read` gives as an IntegerTensor; None for all else."""
        return None

    def read_stored(self, name: str) -> StoredTensor:
        """The tensor with the values that a Hugging Face folder has: of a norm of Gemma 3, w.

        The others are as `read` gives them.
        """
        return self.read(name)

    def read_part(self, name: str, part: str) -> torch.Tensor | None:
        """One part of a torchao tensor, such as its zero points; None where it has no such part."""
        tensor = self.read(name)
        assert isinstance(tensor, TorchaoTensor)
        return tensor.parts.get(part)

    def will_read(self, name: str) -> None:
        """Says that `name` is read soon, so that the disk can begin with it."""
        return  # a hint, of no use to a checkpoint without a disk

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the files; the checkpoint cannot be read afterwards."""

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
