"""Says what a file or folder of ours, or a checkpoint, holds; nothing is loaded or run.

It shows tensors, types, bytes, bits per weight, methods, plan steps and metadata.

    ./bazelw run //python/inspect -- --path model.gguf
    ./bazelw run //python/inspect -- --path ARTIFACT --steps --format json

This one is for looking into every kind of file, also one alone or a damaged one. Whether the runner
would take an artifact, `runner inspect --model ARTIFACT` says: it reads as `runner generate` does.
"""

from pathlib import Path

from absl import flags

from python.artifact.manifest import FILE_NAME as MANIFEST
from python.checkpoint import gguf_reader
from python.checkpoint.byte_source import ByteSource
from python.console import listing, main
from python.console.errors import UserError
from python.console.flag_types import define_path
from python.console.listing import Listing
from python.inspect import artifact_listing, checkpoint_listing, ptd_reader

_PATH = define_path(
    "path",
    None,
    "A safetensors folder or file, a .gguf, a .pte, a .ptd, or an artifact's folder.",
    required=True,
)
_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "For people or for programs.")
_STEPS = flags.DEFINE_boolean("steps", False, "List the steps of every method's plan as well.")


def inspect(path: Path, *, steps: bool = False) -> Listing:
    """The content decides what it is, not the name. Raises UserError and FormatError."""
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if path.is_dir():
        if (path / MANIFEST).exists():
            return artifact_listing.list_artifact(path, steps=steps)
        return checkpoint_listing.list_folder(path)
    source = ByteSource(path)
    try:
        head = source.read(0, min(source.size, 9))
    finally:
        source.close()
    if head[:4] == gguf_reader.MAGIC:
        return checkpoint_listing.list_gguf(path)
    if head[4:8] == ptd_reader.MAGIC:
        return artifact_listing.list_ptd(path)
    if head[4:6] == b"ET":
        return artifact_listing.list_program(path, steps=steps)
    if head[8:9] == b"{":
        return checkpoint_listing.list_safetensors(path)
    raise UserError(
        f"{path} is none of what --path takes: a safetensors folder or file, a .gguf, a .pte, a "
        ".ptd or an artifact's folder"
    )


def program() -> None:
    found = inspect(_PATH.value, steps=_STEPS.value)
    print(listing.to_json(found) if _FORMAT.value == "json" else listing.to_text(found))


if __name__ == "__main__":
    main.run(program)
