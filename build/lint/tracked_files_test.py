"""What git tracks is what we wrote; what programs made is refused."""

import pathlib
import subprocess

import pytest

from build.lint import tracked_files

FILES = {".gitignore": "*.pyc\n", "kept.py": "", "new.py": "", "deep/__pycache__/made.pyc": ""}
MADE = "deep/__pycache__/made.pyc"


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> pathlib.Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".gitignore", "kept.py")
    return tmp_path


def git(folder: pathlib.Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def test_new_files_are_looked_at(repository: pathlib.Path) -> None:
    assert tracked_files.list_files(repository) == [".gitignore", "kept.py", "new.py"]


def test_an_ignored_file_that_is_not_tracked_is_no_matter(repository: pathlib.Path) -> None:
    assert tracked_files.list_ignored(repository) == []


def test_a_tracked_file_that_gitignore_names_is_found(repository: pathlib.Path) -> None:
    git(repository, "add", "--force", MADE)
    assert tracked_files.list_ignored(repository) == [MADE]
