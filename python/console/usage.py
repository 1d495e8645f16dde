"""The text of --help: what a program does, how it is called, and every flag of its own.

What must stay true: a flag that the program defines is in the text, whatever file defines it, with
what it takes and its default; flags of the flag library itself are not.
"""

import shutil
import textwrap
from collections.abc import Iterable
from typing import Any

from absl import flags

_LIBRARY = "absl."  # the modules whose flags are the flag library's
_COMMON = ("progress", "quiet", "help", "version")
_COLUMN = 30
_MOST_COLUMNS = 100
_KINDS = {
    "string": "TEXT", "int": "N", "float": "X", "path": "PATH", "tokens": "TOKENS",
    "comma separated list of strings": "A,B,...",
}  # fmt: skip


def own_flags(values: flags.FlagValues) -> dict[str, flags.Flag[Any]]:
    """The program's flags by name, in the order in which they were defined."""
    library = {
        flag.name
        for module, defined in values.flags_by_module_dict().items()
        if module.startswith(_LIBRARY)
        for flag in defined
    }
    found = (values[name] for name in values)  # one with a short name comes twice
    return {flag.name: flag for flag in found if flag.name not in library}


def help_text(program: str, description: str, values: flags.FlagValues) -> str:
    """The whole of --help. `description` is the docstring of the program's file."""
    columns = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
    found = own_flags(values)
    names = [name for name in found if name not in _COMMON]
    required = [name for name in names if _is_required(found[name])]
    optional = [name for name in names if not _is_required(found[name])]
    parts = [description.strip() or program]
    for heading, members in (("Required:", required), ("Options:", optional)):
        if members:
            parts.append(_section(heading, (_entry(found[name]) for name in members), columns))
    common = [_entry(found[name]) for name in _COMMON if name in found]
    common += [("--help", "Print this."), ("--version", "Print the version.")]
    parts.append(_section("Every program:", common, columns))
    return "\n\n".join(parts)


def _section(heading: str, entries: Iterable[tuple[str, str]], columns: int) -> str:
    return "\n".join([heading, *(_lines(name, text, columns) for name, text in entries)])


def _lines(name: str, text: str, columns: int) -> str:
    """Name and text side by side; a name too long for its column has a line of its own."""
    indent = " " * _COLUMN
    wrapped = textwrap.wrap(
        text, width=max(columns, _COLUMN + 30), initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    left = f"  {name}"
    if len(left) + 2 > _COLUMN or not wrapped:
        return "\n".join([left, *wrapped])
    return "\n".join([left.ljust(_COLUMN) + wrapped[0][_COLUMN:], *wrapped[1:]])


def _entry(flag: flags.Flag[Any]) -> tuple[str, str]:
    """What the user types, and what it does."""
    text = " ".join(str(flag.help).split())
    if flag.boolean:
        return f"--{flag.name}", text + f" Default: yes (--no{flag.name})." * bool(flag.default)
    if isinstance(flag, flags.EnumFlag):
        text = text.split(">: ", 1)[-1]  # the library puts the values in front
    if flag.default is not None:
        text += f" Default: {_written(flag.default)}."
    return f"--{flag.name} {_kind(flag)}", text


def _written(default: object) -> str:
    return ", ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)


def _kind(flag: flags.Flag[Any]) -> str:
    if isinstance(flag, flags.EnumFlag):
        return "|".join(flag.parser.enum_values)
    return _KINDS.get(flag.flag_type(), "VALUE")


def _is_required(flag: flags.Flag[Any]) -> bool:
    # The library keeps it as a validator with this message and nothing else.
    return any("must have a value" in validator.message for validator in flag.validators)
