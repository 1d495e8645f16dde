"""Runs the C++ program //cc/text:tokenize, so that tests can compare it with other tokenizers.

The test's environment variable TOKENIZE says where the program is (a runfile's path).
"""

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast


class CcTokenizer:
    """The program, with one tokenizer.bin. `timings` are those of the last run."""

    def __init__(self, tokenizer: Path) -> None:
        self._command = [
            str(Path(os.environ["TEST_SRCDIR"], os.environ["TOKENIZE"])),
            f"--tokenizer={tokenizer}",
        ]
        self.timings: dict[str, float] = {}

    def encode(self, texts: Sequence[str], *, parse_special: bool) -> list[list[int]]:
        """The ids of each text."""
        flags = ["--parse_special"] if parse_special else []
        return cast(list[list[int]], self._run("encode", flags, texts))

    def decode(self, ids: Sequence[Sequence[int]], *, keep_special: bool) -> list[str]:
        """The text of each list of ids."""
        flags = ["--keep_special"] if keep_special else []
        return cast(list[str], self._run("decode", flags, ids))

    def chat(
        self, conversations: Sequence[list[dict[str, str]]], template: str, *, thinking: bool
    ) -> list[list[int]]:
        """The ids of the prompt of each conversation."""
        flags = [f"--template={template}"] + (["--thinking"] if thinking else [])
        return cast(list[list[int]], self._run("chat", flags, conversations))

    def _run(self, command: str, flags: list[str], lines: Iterable[Any]) -> list[Any]:
        given = "".join(json.dumps(line) + "\n" for line in lines)
        run = subprocess.run(
            [*self._command, command, *flags], input=given, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        self.timings = json.loads(run.stderr)
        return [json.loads(line) for line in run.stdout.split("\n")[:-1]]
