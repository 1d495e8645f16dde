"""What goes into an archive: a name, the bytes, whether it is a program.

What must stay true: an archive depends on these alone. Its entries are in the order of their names,
their time and owner are fixed, and no path of the machine that packs is in it.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Iterable

# 1980-01-01, the first day that a zip file knows.
SECONDS = 315532800
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of an archive. `name`: its path in there, with `/`."""

    name: str
    data: bytes
    executable: bool = False

    @property
    def mode(self) -> int:
        return 0o755 if self.executable else 0o644


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By name. Raises ValueError for a name that is there twice, absolute, or leads upwards."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.name.startswith("/") or ".." in entry.name.split("/"):
            raise ValueError(f"{entry.name} leads out of the archive")
        if entry.name in found:
            raise ValueError(f"{entry.name} would be in the archive twice")
        found[entry.name] = entry
    return [found[name] for name in sorted(found)]


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Takes files as `--file NAME=PATH` and programs as `--program NAME=PATH`, also from @FILE."""
    parser = argparse.ArgumentParser(description=description, fromfile_prefix_chars="@")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--file", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH")
    return parser


def named_entries(arguments: argparse.Namespace) -> list[Entry]:
    """What --file and --program name."""
    return [
        Entry(name=name, data=pathlib.Path(path).read_bytes(), executable=executable)
        for executable, pairs in ((False, arguments.file), (True, arguments.program))
        for name, _, path in (pair.partition("=") for pair in pairs)
    ]
