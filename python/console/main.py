"""Runs a program: flags, exit codes, and one sentence on stderr for each failure.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted (SIGINT or SIGTERM). A program's file ends
with

    if __name__ == "__main__":
        main.run(program)

where `program` takes nothing, reads its flags, prints results on stdout and raises `UserError` or
`UsageError`.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from absl import app, flags, logging

from python.console import errors

INTERRUPTED = 130


def user_path(text: str) -> Path:
    """The path a user means: relative ones start where the user stands, also under `bazel run`."""
    return Path(os.environ.get("BUILD_WORKING_DIRECTORY", os.curdir), Path(text).expanduser())


def run(program: Callable[[], None], argv: Sequence[str] | None = None) -> NoReturn:
    """Parses the flags, runs `program` and leaves the process with its exit code."""
    arguments = list(sys.argv if argv is None else argv)
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(
        _exit_code(lambda: app.run(lambda _: program(), argv=arguments, flags_parser=_parse_flags))
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _exit_code(body: Callable[[], None]) -> int:
    try:
        body()
    except errors.UserError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt as interruption:
        return _fail(str(interruption) or "interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell, and Python's own flush at exit
        # must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = (
            f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        )
        return _fail(f"{where}{error.strerror or error}", 1)
    except MemoryError:
        return _fail("not enough memory", 1)
    return 0


def _fail(sentence: str, code: int) -> int:
    one_line = " ".join(sentence.split())
    print(f"{Path(sys.argv[0]).name}: {one_line}", file=sys.stderr, flush=True)
    return code


def _parse_flags(argv: list[str]) -> list[str]:
    ours = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    if any(argument in ("--help", "-help", "-h") for argument in ours):
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise errors.UsageError(_flag_sentence(str(error))) from None
    if flags.FLAGS["verbosity"].using_default_value:
        # absl would choose INFO, with which every library under us talks on stderr.
        flags.FLAGS["verbosity"].value = logging.WARNING
        flags.FLAGS["verbosity"].using_default_value = False
    if len(rest) > 1:
        raise errors.UsageError(f"{rest[1]!r} is not a flag; --help lists them")
    return rest


def _flag_sentence(message: str) -> str:
    """absl's words for the usual mistakes, shortened to what the user must do."""
    if message.endswith("must have a value other than None."):
        name = message.split("--")[1].split("=")[0]
        return f"--{name} must be given; --help lists the flags"
    if message.startswith("Unknown command line flag"):
        return message.replace("Unknown command line flag '", "unknown flag '--", 1)
    return message
