"""Writes each prompt's greedy continuation into prompts.json, as transformers decodes it.

bazel run //tests/golden:make_continuations
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.golden import oracle


def main() -> None:
    path = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"], "tests/golden/prompts.json")
    judge = oracle.gemma3_270m_from_gguf(Path(os.environ["GGUF"]))
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["continuation"] = oracle.greedy(judge, entry["tokens"])
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
