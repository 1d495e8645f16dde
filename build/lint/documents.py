"""Documents are read in terminals and in diffs, and tell where things are.

No line has more than 120 columns, and every path that is named exists.
"""

import pathlib
import re

COLUMNS = 120
_PATH = re.compile(r"`((?:build|cc|demo|docs|python|tests|third_party)/[\w./-]+)`")


def _lines(root: pathlib.Path, paths: list[str]) -> list[tuple[str, str]]:
    """(`path:line`, text) of every line of the Markdown files among `paths`."""
    return [
        (f"{path}:{number}", line)
        for path in paths
        if path.endswith(".md")
        for number, line in enumerate((root / path).read_text().splitlines(), 1)
    ]


def long_lines(root: pathlib.Path, paths: list[str]) -> list[str]:
    """A sentence for every line that is too long."""
    return [
        f"{place}: {len(line)} columns (at most {COLUMNS}, one sentence a line)"
        for place, line in _lines(root, paths)
        if len(line) > COLUMNS
    ]


def missing_paths(root: pathlib.Path, paths: list[str]) -> list[str]:
    """A sentence for every path, or module without its extension, that does not exist."""
    return [
        f"{place}: there is no {name}"
        for place, line in _lines(root, paths)
        for name in _PATH.findall(line)
        if not (root / name).exists()
        and not list((root / name).parent.glob(f"{(root / name).name}.*"))
    ]
