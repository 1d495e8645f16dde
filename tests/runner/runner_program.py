"""The runner as a user calls it, and artifacts to call it with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Done = subprocess.CompletedProcess[str]
_COMPUTING = {"generate", "chat", "score", "bench", "perplexity"}
TEMPLATE = "gemma4"  # what the tiny checkpoint's special tokens can form


def run(*arguments: str, stdin: str = "", environment: dict[str, str] | None = None) -> Done:
    """One call with stdin piped in; stdout and stderr apart.

    One thread, unless the call says otherwise: two that wait for each other on a busy machine would
    make a test of nothing slow.
    """
    if set(arguments[:1]) & _COMPUTING and not {"--threads", "--device", "--help"} & set(arguments):
        arguments = (*arguments, "--threads", "1")
    return subprocess.run(
        [os.environ["RUNNER"], *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **(environment or {})},
    )


def edit_manifest(artifact: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = artifact / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def copy_artifact(
    place: Path, chat_template: str | None = TEMPLATE, *, foreign: bool = False
) -> Path:
    """A writable copy of the tiny artifact (random weights) whose manifest names this template.

    `foreign`: the checkpoint's own template stays in it, as where no name stands for it.
    """
    copy = place / "artifact"
    shutil.copytree(os.environ["ARTIFACT"], copy)
    for path in [copy, *copy.iterdir()]:
        path.chmod(0o755)

    def edit(manifest: dict[str, Any]) -> None:
        manifest["tokenizer"]["chat_template"] = chat_template
        if chat_template is None and not foreign:
            del manifest["tokenizer"]["chat_template_file"]

    edit_manifest(copy, edit)
    return copy


def max_seq_len(artifact: Path) -> int:
    length: int = json.loads((artifact / "manifest.json").read_text())["max_seq_len"]
    return length


def refusal(done: Done, code: int) -> str:
    """The sentence of a call that must fail with `code`, whatever notes came before it."""
    assert done.returncode == code, f"exit {done.returncode}: {done.stderr}"
    last = done.stderr.rstrip("\n").split("\n")[-1]
    assert last.startswith("runner: "), done.stderr
    return last.removeprefix("runner: ")
