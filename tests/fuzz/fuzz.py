"""Looks for bytes that break a reader, guided by coverage (atheris, which is libFuzzer).

    ./bazelw run //tests/fuzz -- --reader gguf --seconds 600

It starts from the corpus beside this file and stops at the first input that breaks the promise of
readers.py, which it saves in the folder --findings. With --save_corpus the smallest set of inputs that
covers the same code replaces the reader's corpus: commit it.
"""

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris
from absl import flags

with atheris.instrument_imports(include=["python"]):
    from python.console import main
    from tests.fuzz import corpus, readers

_READER = flags.DEFINE_enum("reader", None, sorted(readers.READERS), "What to fuzz.", required=True)
_SECONDS = flags.DEFINE_integer("seconds", 600, "How long.", lower_bound=1)
_FINDINGS = flags.DEFINE_string("findings", "findings", "Where inputs that break it are saved.")
_SAVE = flags.DEFINE_string("save_corpus", None, "A folder: the corpus is written to READER.zip.")
_WORKER = flags.DEFINE_string("worker", None, "Used by the program itself: libFuzzer's arguments.")
_SELF = flags.DEFINE_string("self", None, "Used by the program itself: what libFuzzer may start.")
_SEPARATOR = "\t"
_SECONDS_OF_AN_INPUT = 5
_MEGABYTES = 2048


def program() -> None:
    name = _READER.value or ""
    if _WORKER.value is not None:
        _run_libfuzzer(name, _WORKER.value.split(_SEPARATOR))
        return
    findings = main.user_path(_FINDINGS.value)
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        inputs, minimized = Path(scratch, "inputs"), Path(scratch, "minimized")
        starter = _write_starter(Path(scratch), name)
        inputs.mkdir()
        minimized.mkdir()
        for number, data in enumerate(corpus.load(name)):
            (inputs / f"{number:04d}").write_bytes(data)
        limits = [f"-max_len={corpus.MAX_INPUT_BYTES}", f"-timeout={_SECONDS_OF_AN_INPUT}"]
        limits += [f"-rss_limit_mb={_MEGABYTES}", f"-artifact_prefix={findings}/{name}-"]
        _run([starter, f"-max_total_time={_SECONDS.value}", *limits, str(inputs)])
        if _SAVE.value is not None:
            _run([starter, "-merge=1", *limits, str(minimized), str(inputs)])
            saved = corpus.save(main.user_path(_SAVE.value), name, minimized)
            print(saved)


def _write_starter(folder: Path, name: str) -> str:
    """A program that takes libFuzzer's arguments alone: it starts itself again to merge."""
    path = folder / "starter"
    command = [sys.executable, __file__, f"--reader={name}", f"--self={path}"]
    path.write_text(f"#!/bin/sh\nIFS='{_SEPARATOR}'\nexec {shlex.join(command)} --worker=\"$*\"\n")
    path.chmod(0o755)
    return str(path)


def _run(command: list[str]) -> None:
    """libFuzzer ends its process, so each of its runs has one of its own."""
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _run_libfuzzer(name: str, arguments: list[str]) -> None:
    read = readers.READERS[name]
    atheris.Setup([_SELF.value, *arguments], lambda data: readers.accepts(read, data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main.run(program)
