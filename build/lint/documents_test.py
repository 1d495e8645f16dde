"""Long lines of documents are found, and nothing else is looked at."""

import pathlib

from build.lint import documents


def test_long_lines_are_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.md").write_text("short\n" + "x" * 120 + "\n" + "é" * 121 + "\n")
    (tmp_path / "b.py").write_text("x" * 200)
    assert documents.long_lines(tmp_path, ["a.md", "b.py"]) == ["a.md:3: 121 columns"]
