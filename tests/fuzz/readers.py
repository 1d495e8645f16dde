"""The readers of untrusted files, each as a function of a file's bytes, and the promise they share.

The promise: whatever the bytes are, a reader accepts them
or raises UserError with one sentence, in little time and memory.
Fuzzing looks for bytes that break it; the corpus test keeps what fuzzing found.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from python.artifact import manifest, strict_json
from python.checkpoint.gguf_checkpoint import GgufCheckpoint
from python.checkpoint.gguf_reader import GgufFile
from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.safetensors_reader import SafetensorsFile
from python.console.errors import UserError
from python.inspect.program_reader import read_program
from python.inspect.ptd_reader import read_ptd
from python.quant import recipe
from python.text.hugging_face_tokenizer import tokenizer_from_json

_MAX_READ_BYTES = 1 << 20  # tensors above it are described, not read


def accepts(read: Callable[[bytes], object], data: bytes) -> bool:
    """Whether the reader took the bytes. Anything but a one-sentence UserError propagates."""
    try:
        read(data)
    except UserError as error:
        sentence = str(error)
    else:
        return True
    assert "\n" not in sentence, sentence
    assert len(sentence) < 1000, sentence
    return False


def _gguf(data: bytes) -> None:
    with _InMemory(data) as path, closing(GgufFile(path)) as file:
        _read_small(file, file.tensors)


def _safetensors(data: bytes) -> None:
    with _InMemory(data) as path, closing(SafetensorsFile(path)) as file:
        _read_small(file, file.entries)


def _read_small(file: GgufFile | SafetensorsFile, tensors: Mapping[str, Any]) -> None:
    for name, tensor in tensors.items():
        if tensor.bytes < _MAX_READ_BYTES:
            file.read(name)


def _gguf_checkpoint(data: bytes) -> None:
    with _InMemory(data) as path, GgufCheckpoint(path) as checkpoint:
        for name in checkpoint.names():
            checkpoint.read(name)


def _hugging_face_folder(data: bytes) -> None:
    """config.json, a zero byte, then model.safetensors."""
    config, _, weights = data.partition(b"\0")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        (folder / "config.json").write_bytes(config)
        (folder / "model.safetensors").write_bytes(weights)
        with HuggingFaceCheckpoint(folder) as checkpoint:
            for weight in checkpoint.names():
                checkpoint.read(weight)


def _manifest(data: bytes) -> None:
    manifest.from_document(strict_json.parse(data, "manifest.json"), Path("manifest.json"))


def _recipe(data: bytes) -> None:
    recipe.from_json(strict_json.parse(data, "recipe.json"), Path("recipe.json"))


def _from_path(read: Callable[[Path], Any]) -> Callable[[bytes], object]:
    def on_bytes(data: bytes) -> object:
        with _InMemory(data) as path:
            return read(path)

    return on_bytes


READERS: Mapping[str, Callable[[bytes], object]] = {
    "gguf": _gguf,
    "gguf_checkpoint": _gguf_checkpoint,
    "safetensors": _safetensors,
    "hugging_face_folder": _hugging_face_folder,
    "tokenizer_json": _from_path(tokenizer_from_json),
    "manifest": _manifest,
    "recipe": _recipe,
    "program": _from_path(read_program),
    "ptd": _from_path(read_ptd),
}


class _InMemory:
    """A file that exists in memory alone; `with` gives its path."""

    def __init__(self, data: bytes) -> None:
        self._descriptor = os.memfd_create("fuzz")
        os.write(self._descriptor, data)

    def __enter__(self) -> Path:
        return Path(f"/proc/self/fd/{self._descriptor}")

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
