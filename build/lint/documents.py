"""Documents are read in terminals and in diffs: no line has more than 120 columns."""

import pathlib

COLUMNS = 120


def long_lines(root: pathlib.Path, paths: list[str]) -> list[str]:
    """`path:line: its columns` of every line that is too long, of Markdown files among `paths`."""
    return [
        f"{path}:{number}: {len(line)} columns"
        for path in paths
        if path.endswith(".md")
        for number, line in enumerate((root / path).read_text().splitlines(), 1)
        if len(line) > COLUMNS
    ]
