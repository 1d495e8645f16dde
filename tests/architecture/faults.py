"""What is wrong with a house: each function gives sentences, none where all is well.

files: path -> text of everything in cc/ and python/, tests and data included.
"""

import sys
from collections.abc import Iterator, Mapping

from tests.architecture import imports, lengths
from tests.architecture.rooms import House


def _product(files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((path, text) for path, text in sorted(files.items()) if imports.is_product(path))


def rooms_missing(house: House, files: Mapping[str, str]) -> list[str]:
    """Folders of product code that no room owns, and rooms without any."""
    folders = {path.rpartition("/")[0] for path, _ in _product(files)}
    owned = {folder for room in house.rooms for folder in room.folders}
    return [
        *(f"{folder} is no room of rooms.toml" for folder in sorted(folders - owned)),
        *(f"{folder} holds no product code" for folder in sorted(owned - folders)),
    ]


def wrong_uses(house: House, files: Mapping[str, str]) -> list[str]:
    """Uses of rooms that rooms.toml does not allow, and of what is for tests by product code."""
    found = []
    for path, text in _product(files):
        room = house.room_of(path)
        for used in sorted(set(imports.uses_of(path, text, files))):
            other = house.room_of(used)
            if imports.is_for_tests(used):
                found.append(f"{path} is product code and uses {used}, which is for tests")
            elif room and other and not room.may_use(other):
                found.append(f"{path} uses {used}, but {room.folder} may not use {other.folder}")
    return found


def wrong_libraries(house: House, files: Mapping[str, str]) -> list[str]:
    """Uses of libraries outside of the places that rooms.toml names for them."""
    found = []
    for path, text in _product(files):
        room = house.room_of(path)
        stem = path.rpartition(".")[0]
        for used in sorted(set(imports.uses_of(path, text, files))):
            places = house.libraries.get(used)
            if places is not None and not any(
                stem == place or path.startswith(f"{place}/") for place in places
            ):
                allowed = ", ".join(places) or "tests"
                found.append(f"{path} uses {used}, which is for {allowed} alone")
            if room and room.libraries is not None and _is_foreign(used, room.libraries):
                found.append(f"{path} uses {used}, but {room.folder} may use no such library")
    return found


def _is_foreign(used: str, allowed: tuple[str, ...]) -> bool:
    inside = used.split("/")[0] in ("cc", "python") or used in sys.stdlib_module_names
    return not inside and used not in allowed


def circle(files: Mapping[str, str]) -> list[str]:
    """One sentence with the files of a circle, if there is any."""
    edges = {
        path: {used for used in imports.uses_of(path, text, files) if used in files} - {path}
        for path, text in _product(files)
    }
    found = imports.circle(edges)
    return [f"a circle: {' -> '.join(found)}"] if found else []


def too_long(house: House, files: Mapping[str, str]) -> list[str]:
    """Functions and classes that are longer than all may be, or than an exception says."""
    found = {
        f"{path}:{name}": lines
        for path, text in _product(files)
        for name, lines in lengths.too_long(path, text)
    }
    limits = f"{lengths.FUNCTION_LINES} lines a function, {lengths.CLASS_LINES} a class"
    return [
        *(
            f"{place} has {lines} lines (at most {house.too_long.get(place) or limits})"
            for place, lines in found.items()
            if lines > house.too_long.get(place, 0)
        ),
        *(
            f"{place} is short enough now: take it from rooms.toml, too_long"
            for place in house.too_long
            if place not in found
        ),
    ]
