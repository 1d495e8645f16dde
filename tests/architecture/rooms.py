"""The list of rooms (rooms.toml): which room owns a file, what it may use, and the table of it.

What must stay true: a room uses only rooms that stand above it in the list.
"""

import dataclasses
import textwrap
import tomllib
from collections.abc import Mapping
from typing import Any

_COLUMNS = 120


@dataclasses.dataclass(frozen=True, kw_only=True)
class Room:
    """A folder of product code, and the subfolders that belong to it.

    libraries: what it may import beside Python's own; None: anything.
    """

    folder: str
    holds: str
    uses: tuple[str, ...]
    folders: tuple[str, ...]
    libraries: tuple[str, ...] | None

    def may_use(self, other: "Room") -> bool:
        return other is self or other.folder in self.uses


@dataclasses.dataclass(frozen=True, kw_only=True)
class House:
    """rooms: from those that use nothing upwards; libraries: name -> places that may use it.

    too_long: `path:name` of functions and classes -> the lines that they may have until they are split.
    """

    rooms: tuple[Room, ...]
    libraries: Mapping[str, tuple[str, ...]]
    too_long: Mapping[str, int]

    def room_of(self, path: str) -> Room | None:
        folder = path.rsplit("/", 1)[0]
        return next((room for room in self.rooms if folder in room.folders), None)


def read(text: str) -> House:
    """Raises ValueError where a room uses itself or one that does not stand above it."""
    data = tomllib.loads(text)
    rooms = [_room(entry) for entry in data["room"]]
    above: set[str] = set()
    for room in rooms:
        if wrong := sorted(set(room.uses) - above):
            raise ValueError(f"{room.folder} uses {', '.join(wrong)}: list it above")
        if room.folder in above:
            raise ValueError(f"{room.folder} is listed twice")
        above.add(room.folder)
    libraries = {name: tuple(places) for name, places in data["libraries"].items()}
    return House(rooms=tuple(rooms), libraries=libraries, too_long=data["too_long"])


def _room(entry: dict[str, Any]) -> Room:
    folder = entry["folder"]
    return Room(
        folder=folder,
        holds=entry["holds"],
        uses=tuple(entry["uses"]),
        folders=(folder, *(f"{folder}/{below}" for below in entry.get("with", ()))),
        libraries=tuple(entry["libraries"]) if "libraries" in entry else None,
    )


def table(house: House) -> str:
    """The table of docs/architecture.md. `cc/` and `python/` are left out of what a room may use."""
    lines = ["| room | holds | may use |", "|---|---|---|"]
    for room in house.rooms:
        first, *others = textwrap.wrap(
            _shortened(room.uses),
            _COLUMNS - len(f"| {room.folder} | {room.holds} |  |"),
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines.append(f"| {room.folder} | {room.holds} | {first} |")
        lines += [f"| | | {rest} |" for rest in others]
    return "\n".join(lines) + "\n"


def _shortened(uses: tuple[str, ...]) -> str:
    """`cc/a`, `cc/b`, `cc/b/c`, `cc/b/d` as a shell would expand it: `a b{,/c,/d}`."""
    tree: dict[str, Any] = {}
    for use in uses:
        node = tree
        for part in use.split("/")[1:]:
            node = node.setdefault(part, {})
        node[""] = {}
    return " ".join(_braces(name, node) for name, node in tree.items()) or "nothing"


def _braces(name: str, node: dict[str, Any]) -> str:
    below = [_braces(part, under) for part, under in node.items() if part]
    if "" in node:
        below = ["", *(f"/{part}" for part in below)]
        return name + (f"{{{','.join(below)}}}" if len(below) > 1 else "")
    return f"{name}/" + (below[0] if len(below) == 1 else f"{{{','.join(below)}}}")
