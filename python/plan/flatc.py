"""Runs `flatc`, the FlatBuffers compiler that the ExecuTorch wheel carries.

Owns the one place that knows where `flatc` lies.
JSON goes in and FlatBuffers bytes come out, or back. What must stay true:
the same JSON gives the same bytes, and nothing is left in the temporary folder.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any


class FlatcError(Exception):
    """`flatc` is missing, or refused its input. One sentence."""


@functools.cache
def flatc_path() -> str:
    """Path of the `flatc` executable in the installed ExecuTorch wheel, else of one on the PATH."""
    try:
        bundled = pathlib.Path(str(importlib.resources.files("executorch.data.bin") / "flatc"))
        if bundled.is_file() and os.access(bundled, os.X_OK):
            return str(bundled)
    except ModuleNotFoundError:
        pass
    found = shutil.which("flatc")
    if found is None:
        raise FlatcError(
            "flatc was not found: neither executorch.data.bin nor the PATH has it"
            " (pip install executorch, or apt-get install flatbuffers-compiler)"
        )
    return found


def json_to_bytes(schemas: Sequence[pathlib.Path], document: Any) -> bytes:
    """Serializes a JSON document to FlatBuffers bytes.

    Args:
      schemas: the root schema, then the schemas that it includes.
      document: a value that `json.dumps` accepts and that follows the root type of the schema.

    Raises:
      FlatcError: the document does not follow the schema.
    """
    with tempfile.TemporaryDirectory(prefix="flatc-") as folder:
        root = _copy_schemas(schemas, pathlib.Path(folder))
        source = pathlib.Path(folder) / "document.json"
        source.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
        _run("--binary", "--strict-json", "-o", folder, str(root), str(source))
        (made,) = (p for p in pathlib.Path(folder).glob("document.*") if p != source)
        return made.read_bytes()


def bytes_to_json(schemas: Sequence[pathlib.Path], data: bytes) -> Any:
    """Reads FlatBuffers bytes that this process wrote or trusts back into a JSON document.

    `flatc` does not verify its input: bytes from elsewhere belong to the verifier in cc/plan.
    """
    with tempfile.TemporaryDirectory(prefix="flatc-") as folder:
        root = _copy_schemas(schemas, pathlib.Path(folder))
        source = pathlib.Path(folder) / "document.bin"
        source.write_bytes(data)
        _run(
            "--json", "--strict-json", "--defaults-json", "--raw-binary",
            "-o", folder, str(root), "--", str(source),
        )  # fmt: skip
        return json.loads((pathlib.Path(folder) / "document.json").read_text(encoding="utf-8"))


def _copy_schemas(schemas: Sequence[pathlib.Path], folder: pathlib.Path) -> pathlib.Path:
    """Copies the schemas beside each other, where `include` finds them; returns the root's copy."""
    for schema in schemas:
        (folder / schema.name).write_bytes(schema.read_bytes())
    return folder / schemas[0].name


def _run(*arguments: str) -> None:
    result = subprocess.run([flatc_path(), *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        words = " ".join((result.stdout + result.stderr).split())
        raise FlatcError(f"flatc refused its input: {words}")
