"""Runs a program: flags, exit codes, and one sentence on stderr for each failure.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted (SIGINT or SIGTERM).
A program's file ends with

    if __name__ == "__main__":
        main.run(program)

where `program` takes nothing, reads its flags, prints results on stdout and raises `UserError` or
`UsageError`. The file's docstring is the head of --help: what the program does, and an example.
A program that imports much imports this file first:
Ctrl-C is then no stack trace before `run` either.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from absl import app, flags, logging

from python.console import errors, interruption, machine, notes, sizes, usage, version

INTERRUPTED = 130
_HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull")
_ILLEGAL = re.compile(r"flag --(\w+)=(.*?): (.*)", re.DOTALL)
_TORCH_ALLOCATION = re.compile(r"you tried to allocate (\d+) bytes")

note = notes.note


def user_path(text: str) -> Path:
    """The path a user means: relative ones start where the user stands, also under `bazel run`."""
    return Path(os.environ.get("BUILD_WORKING_DIRECTORY", os.curdir), Path(text).expanduser())


def _say_interrupted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """For Ctrl-C while libraries are imported, which takes seconds; the signal then ends us."""
    if issubclass(kind, KeyboardInterrupt):
        _fail("interrupted", INTERRUPTED)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _say_interrupted


def run(program: Callable[[], None], argv: Sequence[str] | None = None) -> NoReturn:
    """Parses the flags, runs `program` and leaves the process with its exit code."""
    arguments = list(sys.argv if argv is None else argv)
    interruption.listen()
    code = _exit_code(
        lambda: app.run(lambda _: program(), argv=arguments, flags_parser=_parse_flags)
    )
    sys.exit(_flush_results(code))


def _exit_code(body: Callable[[], None]) -> int:
    try:
        body()
    except SystemExit as end:  # how app.run ends
        return int(end.code or 0)
    except errors.UserError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt as interruption:
        return _fail(str(interruption) or "interrupted", INTERRUPTED)
    except BrokenPipeError:
        return 1  # whoever read our output has gone; there is nobody to tell
    except OSError as error:
        where = (
            f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        )
        return _fail(f"{where}{error.strerror or error}", 1)
    except (MemoryError, RuntimeError) as error:
        sentence = _out_of_memory(error)
        if sentence is None:
            raise
        return _fail(sentence, 1)
    return 0


def _out_of_memory(error: MemoryError | RuntimeError) -> str | None:
    """What was asked for and what there is, where that is why `error` was raised.

    torch raises RuntimeError on the host and a subclass of it, OutOfMemoryError, on a GPU.
    """
    if type(error).__name__ == "OutOfMemoryError":
        return f"not enough GPU memory: {str(error).split('. GPU ')[0]} (use --device cpu)"
    asked = _TORCH_ALLOCATION.search(str(error))
    if asked is None and not isinstance(error, MemoryError):
        return None
    wanted = (
        f"{sizes.format_bytes(int(asked[1]))} were asked for" if asked else "an allocation failed"
    )
    available = sizes.format_bytes(machine.available_memory())
    return f"not enough memory: {wanted}, {available} are available (end other programs)"


def _flush_results(code: int) -> int:
    """What was lost on the way to a full disk or a closed pipe shows only now."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at exit, and must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == 0 and not isinstance(error, BrokenPipeError):
            return _fail(f"stdout: the results could not be written: {error.strerror}", 1)
        return code or 1
    return code


def _fail(sentence: str, code: int) -> int:
    one_line = " ".join(sentence.split())
    print(f"{_program_name()}: {one_line}", file=sys.stderr, flush=True)
    return code


def _program_name() -> str:
    """`python/quant/main.py` is quant, every other file bears the program's name."""
    path = Path(sys.argv[0])
    return path.parent.name if path.name == "main.py" else path.stem


def _parse_flags(argv: list[str]) -> list[str]:
    ours = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    if any(argument in _HELP for argument in ours):
        description = sys.modules["__main__"].__doc__ or ""
        print(usage.help_text(_program_name(), description, flags.FLAGS))
        sys.exit(0)
    if "--version" in ours:
        print(f"{_program_name()} {version.version()}")
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        raise errors.UsageError(_unknown_flag(error.flagname)) from None
    except flags.Error as error:
        raise errors.UsageError(_flag_sentence(str(error))) from None
    if flags.FLAGS["verbosity"].using_default_value:
        # absl would choose INFO, with which every library under us talks on stderr.
        flags.FLAGS["verbosity"].value = logging.WARNING
        flags.FLAGS["verbosity"].using_default_value = False
    if len(rest) > 1:
        raise errors.UsageError(f"{rest[1]!r} is not a flag; --help lists them")
    return rest


def _unknown_flag(name: str) -> str:
    near = difflib.get_close_matches(name, [*usage.own_flags(flags.FLAGS), "help", "version"], n=1)
    remedy = f"did you mean --{near[0]}? --help lists the flags" if near else "--help lists them"
    return f"unknown flag --{name} ({remedy})"


def _flag_sentence(message: str) -> str:
    """absl's words for the usual mistakes, shortened to what the user must do."""
    if message.endswith("must have a value other than None."):
        name = message.split("--")[1].split("=")[0]
        return f"--{name} must be given; --help lists the flags"
    if message.startswith("Missing value for flag "):
        return f"{message.removeprefix('Missing value for flag ')} needs a value; --help lists the flags"
    illegal = _ILLEGAL.fullmatch(message)
    if illegal is None:
        return message
    name, value, reason = illegal.groups()
    return f"--{name} {value!r} is {_what_it_takes(flags.FLAGS[name], reason)}"


def _what_it_takes(flag: flags.Flag[Any], reason: str) -> str:
    if flag.boolean:
        return f"neither true nor false (--{flag.name} alone, or --no{flag.name})"
    if isinstance(flag, flags.EnumFlag):
        return f"none of {', '.join(flag.parser.enum_values)}"
    if flag.flag_type() in ("int", "float"):
        takes = flag.parser.syntactic_help
        return f"not {'an ' if takes.startswith('integer') else ''}{takes}"
    return reason
