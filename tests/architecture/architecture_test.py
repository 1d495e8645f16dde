"""The house is as rooms.toml says: what its rooms use, what docs/architecture.md shows, how long things are."""

import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.architecture import faults, rooms
from tests.architecture.rooms import House

_ROOT = Path(__file__).parents[2]
_PAGE = "docs/architecture.md"
_TEXTS = (".py", ".cc", ".h", ".cu", ".cuh", ".md")
_MANY_FILES = 500


@pytest.fixture(scope="module")
def house() -> House:
    path = os.environ.get("ROOMS", Path(__file__).with_name("rooms.toml"))
    return rooms.read(Path(path).read_text())


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """In Bazel, those of @sources; without it, those of the folder that this file lies in."""
    if "SOURCES" in os.environ:
        with tarfile.open(os.environ["SOURCES"]) as tar:
            names = [member for member in tar if member.isfile() and member.name.endswith(_TEXTS)]
            found = {name.name: tar.extractfile(name).read().decode() for name in names}  # type: ignore[union-attr]
    else:
        paths = [p for top in ("cc", "python", "docs") for p in (_ROOT / top).rglob("*")]
        found = {
            str(path.relative_to(_ROOT)): path.read_text()
            for path in paths
            if path.suffix in _TEXTS and path.is_file()
        }
    assert len(found) > _MANY_FILES
    return found


@pytest.mark.parametrize(
    "check", [faults.rooms_missing, faults.wrong_uses, faults.wrong_libraries, faults.too_long]
)
def test_rooms(
    check: Callable[[House, Mapping[str, str]], list[str]], house: House, files: dict[str, str]
) -> None:
    assert check(house, files) == []


def test_nothing_runs_in_a_circle(files: dict[str, str]) -> None:
    assert faults.circle(files) == []


def test_the_page_shows_the_list(house: House, files: dict[str, str]) -> None:
    table = rooms.table(house)
    assert table in files[_PAGE], (
        f"{_PAGE} shows another table than rooms.toml; it should be\n{table}"
    )
