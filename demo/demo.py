"""The main job on a real small checkpoint, on the CPU: a GGUF became an artifact in this build; here it writes text.

The build fetched the checkpoint (pinned by digest), imported and exported it (the rule `exported_model`); both are
reused until their inputs change. This program runs the C++ runner on the artifact and says where the time went.

    ./bazelw run //:demo
    ./bazelw run //:demo -- --print_artifact      prints the artifact's folder and nothing else
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from python.console import main, sizes
from python.console.errors import UserError

_PROMPT = "The owl said to the mouse: If you want to see the stars,"

_PRINT_ARTIFACT = flags.DEFINE_bool(
    "print_artifact", False, "Print the artifact's folder and nothing else."
)
_PROMPT_FLAG = flags.DEFINE_string(
    "prompt", _PROMPT, "What the model continues (it is a base model: no chat)."
)
_STOP = flags.DEFINE_string("stop", "\n", "What ends the text: here the end of the paragraph.")
_MAX_NEW_TOKENS = flags.DEFINE_integer(
    "max_new_tokens", 64, "Tokens to write, at most.", lower_bound=1
)


def demo() -> None:
    artifact = Path(os.environ["ARTIFACT"]).resolve()
    if _PRINT_ARTIFACT.value:
        print(artifact)
        return
    checkpoint = Path(os.environ["GGUF"]).resolve()
    print(introduction(checkpoint, artifact), file=sys.stderr, flush=True)
    start = time.monotonic()
    generate(artifact)
    print(f"\n{time_table(time.monotonic() - start)}", file=sys.stderr)


def introduction(checkpoint: Path, artifact: Path) -> str:
    weights = sum(path.stat().st_size for path in artifact.glob("*.ptd"))
    return (
        f"Gemma 3 270M (base, Q4_K_M) under the Gemma Terms of Use, which you accept by using it:"
        f" {Path(os.environ['TERMS']).resolve()}\n"
        f"checkpoint  {checkpoint} ({sizes.format_bytes(checkpoint.stat().st_size)}, sha256 checked)\n"
        f"artifact    {artifact} ({sizes.format_bytes(weights)} of weights, kept exactly as the GGUF has them)\n"
    )


def generate(artifact: Path) -> None:
    """The runner writes text on stdout and its timings on stderr; greedy, so that everyone sees the same text."""
    command = [
        os.environ["RUNNER"], "generate", "--model", str(artifact), "--raw", "--temperature", "0",
        "--max_new_tokens", str(_MAX_NEW_TOKENS.value), "--prompt", _PROMPT_FLAG.value, "--echo",
    ]  # fmt: skip
    if _STOP.value:
        command += ["--stop", _STOP.value]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        raise UserError(f"the runner failed (exit {code}); its message is above")


def time_table(run_seconds: float) -> str:
    """Where each second went: the stages of the export, as it recorded them when it ran, and this run."""
    stages = json.loads(Path(os.environ["TIMINGS"]).read_text())
    rows = [(f"export: {stage['stage']}", stage["seconds"]) for stage in stages]
    rows.append(("runner, from start to exit", run_seconds))
    lines = [f"  {name:32} {seconds:7.1f} s" for name, seconds in rows]
    return "\n".join(
        ["where the time went (the export is reused until its inputs change):", *lines]
    )


if __name__ == "__main__":
    main.run(demo)
