"""Opens a checkpoint of any kind; which kind it is, its content decides, not its name."""

from pathlib import Path

from python.checkpoint import gguf_reader
from python.checkpoint.byte_source import ByteSource
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.gguf_checkpoint import GgufCheckpoint
from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.console.errors import FormatError, UserError


def open_checkpoint(path: Path) -> Checkpoint:
    """A Hugging Face folder, a folder that python/quant wrote, or a GGUF file.

    Raises UserError or FormatError.
    """
    if not path.exists():
        raise UserError(
            f"{path} does not exist; --checkpoint wants a Hugging Face folder or a .gguf file"
        )
    if path.is_dir():
        return HuggingFaceCheckpoint(path)
    source = ByteSource(path)
    try:
        magic = source.read(0, min(source.size, len(gguf_reader.MAGIC)))
    finally:
        source.close()
    if magic != gguf_reader.MAGIC:
        raise FormatError(
            path, "is neither a folder nor a GGUF file; --checkpoint wants one of them"
        )
    return GgufCheckpoint(path)
