"""What git knows of the repository: the files to look at, and those that it should not track."""

import pathlib
import subprocess

from build.lint.checks import lintable


def _list(root: pathlib.Path, *options: str) -> str:
    command = ["git", "ls-files", "-z", *options]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def list_files(root: pathlib.Path) -> list[str]:
    """The files that git tracks or would add."""
    return lintable(_list(root, "--cached", "--others", "--exclude-standard"), root)


def list_ignored(root: pathlib.Path) -> list[str]:
    """The files that git tracks although a .gitignore of the repository names them."""
    listing = _list(root, "--cached", "--ignored", "--exclude-per-directory=.gitignore")
    return sorted(path for path in listing.split("\0") if path)
