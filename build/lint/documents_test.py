"""Long lines and paths that lead nowhere are found, and nothing else is looked at."""

import pathlib

from build.lint import documents


def test_long_lines_are_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.md").write_text("short\n" + "x" * 120 + "\n" + "é" * 121 + "\n")
    (tmp_path / "b.py").write_text("x" * 200)
    [sentence] = documents.long_lines(tmp_path, ["a.md", "b.py"])
    assert sentence.startswith("a.md:3: 121 columns")


def test_paths_that_do_not_exist_are_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "cc" / "plan").mkdir(parents=True)
    (tmp_path / "cc" / "plan" / "plan.fbs").touch()
    (tmp_path / "a.md").write_text(
        "`cc/plan`, `cc/plan/plan.fbs`, `cc/plan/plan` and `other/file`\n`cc/plan/gone.h`\n"
    )
    assert documents.missing_paths(tmp_path, ["a.md"]) == ["a.md:2: there is no cc/plan/gone.h"]
