"""The inputs that fuzzing kept: corpus/READER.zip, and seeds that the code makes."""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from python.artifact import atomic_write
from python.artifact.manifest import FILE_NAME as MANIFEST
from python.checkpoint import ggml_types
from python.checkpoint.testing import gguf_bytes, synthetic, tiny_gguf
from python.export.ptd_writer import Blob, PtdWriter
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.quant import recipe
from python.text.testing.tiny_tokenizer import tiny_json

FOLDER = Path("tests/fuzz/corpus")
_ARTIFACT = Path("python/export/tiny_gemma4_int4_artifact")
MAX_INPUT_BYTES = 1 << 18
_SMALL: dict[str, Any] = {
    "num_layers": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "head_dim": 16,
    "vocab_size": 128, "max_positions": 64,
}  # fmt: skip


def load(reader: str) -> list[bytes]:
    """All inputs of a reader: the kept ones, then the seeds that fit a fuzzer's input."""
    path = FOLDER / f"{reader}.zip"
    kept: list[bytes] = []
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            kept = [archive.read(name) for name in sorted(archive.namelist())]
    return kept + [seed for seed in _seeds(reader) if len(seed) <= MAX_INPUT_BYTES]


def save(folder: Path, reader: str, inputs: Path) -> Path:
    """Writes READER.zip from the files of `inputs`; the same files give the same bytes."""
    path = folder / f"{reader}.zip"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for file in sorted(inputs.iterdir()):
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_DEFLATED)
    atomic_write.write_file(path, data.getvalue(), overwrite=True)
    return path


def _seeds(reader: str) -> Iterator[bytes]:
    """Valid files, small ones, so that mutations begin deep inside the reader."""
    if reader in ("gguf", "gguf_checkpoint"):
        yield tiny_gguf.build(tiny_gemma3(**_SMALL))
        yield tiny_gguf.build(tiny_gemma4(**_SMALL, full_head_dim=32))
        yield _small_gguf()
    elif reader in ("safetensors", "hugging_face_folder"):
        yield from _safetensors_seeds(reader)
    elif reader == "tokenizer_json":
        yield json.dumps(tiny_json()).encode()
    elif reader == "manifest":
        yield (_ARTIFACT / MANIFEST).read_bytes()
    elif reader == "recipe":
        yield from (json.dumps(recipe.recipe(name, 6).to_json()).encode() for name in recipe.NAMED)
    elif reader == "program":
        yield (_ARTIFACT / "model.pte").read_bytes()
    elif reader == "ptd":
        yield _small_ptd()


def _safetensors_seeds(reader: str) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as name:
        for config in (tiny_gemma3(**_SMALL), tiny_gemma4(**_SMALL, full_head_dim=32)):
            folder = Path(name, config.name)
            synthetic.write_checkpoint(folder, config)
            (weights,) = folder.glob("*.safetensors")
            settings = (folder / "config.json").read_bytes() + b"\0"
            yield (b"" if reader == "safetensors" else settings) + weights.read_bytes()


def _small_gguf() -> bytes:
    """A key and a tensor of every kind."""
    pairs = [
        gguf_bytes.text_pair("general.architecture", "gemma3"),
        gguf_bytes.number_pair("general.alignment", gguf_bytes.U32, 32),
        gguf_bytes.pair("a", gguf_bytes.BOOL, gguf_bytes.scalar(gguf_bytes.BOOL, 1)),
        gguf_bytes.pair(
            "b", gguf_bytes.ARRAY, gguf_bytes.array(gguf_bytes.STRING, [gguf_bytes.string("x")])
        ),
    ]
    tensors = []
    for kind in ggml_types.ALL:
        data = np.zeros(kind.bytes, np.uint8)
        tensors.append((f"t{kind.number}", kind, data, (1, kind.columns)))
    return gguf_bytes.gguf_file(pairs, tensors)


def _small_ptd() -> bytes:
    blobs = [Blob(key=f"layers.{number}.weight", bytes=number * 40) for number in range(1, 4)]
    with tempfile.TemporaryFile() as file:
        writer = PtdWriter(file, blobs)
        writer.begin()
        for blob in blobs:
            writer.write(blob.key, bytes(blob.bytes))
        writer.finish()
        file.seek(0)
        return file.read()
