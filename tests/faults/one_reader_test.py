"""`inspect`, `doctor --model` and `score` agree about every damaged artifact: all accept it, or all refuse it.

The damage is random but seeded, and the manifest is signed again after it, so that the digests do not hide it. What is
damaged: the program (bytes, and numbers of its plans), the manifest, and the index of the weights.
"""

from __future__ import annotations

import collections
import concurrent.futures
import copy
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CASES = 400
COMMANDS = {
    "inspect": ("inspect",),
    "doctor": ("doctor",),
    "score": ("score", "--device", "cpu", "--threads", "1", "--tokens", "1,2,3"),
}
Manifest = dict[str, Any]


def damage_bytes(data: bytearray, generator: random.Random) -> None:
    """Flips 1 to 64 bits."""
    for _ in range(generator.choice([1, 1, 4, 64])):
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)


def damage_numbers(data: bytearray, generator: random.Random) -> None:
    """Changes numbers as an exporter with a mistake would: a little, to another one of the file, or to a border."""
    for _ in range(generator.choice([1, 1, 2, 8])):
        format_, size = generator.choice([("<i", 4), ("<i", 4), ("<q", 8), ("<f", 4), ("<h", 2)])
        at = generator.randrange(len(data) // size) * size
        (number,) = struct.unpack_from(format_, data, at)
        other = generator.randrange(len(data) // size) * size
        if format_ == "<f":
            choices = [number * 2, -number, 0.0, float("nan"), float("inf"), 1e-30, 1e30]
        else:
            limit = 1 << (8 * size - 1)
            choices = [number + 1, number - 1, number * 2, number // 2, 0, 1, -1, limit - 1]
            choices = [(choice + limit) % (2 * limit) - limit for choice in choices]
        choices.append(struct.unpack_from(format_, data, other)[0])
        value = generator.choice(choices)
        if abs(value) > 3e38 and format_ == "<f" and value == value:
            value = float("inf")
        struct.pack_into(format_, data, at, value)


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values of a JSON document, inner ones included."""
    if path:
        yield path
    if isinstance(node, dict):
        for key in node:
            yield from leaves(node[key], (*path, key))
    elif isinstance(node, list):
        for index in range(len(node)):
            yield from leaves(node[index], (*path, index))


def changed(value: Any, generator: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return generator.choice([value + 1, value - 1, value * 2, 0, -1, 1 << 40, str(value)])
    if isinstance(value, float):
        return generator.choice([value * 2, -value, 0.0, 1e300, "x"])
    if isinstance(value, str):
        return generator.choice([value + "x", value[:-1], "", value.upper(), 7])
    return generator.choice([None, [], {}, 3, [value, value]])


def damage_manifest(manifest: Manifest, generator: random.Random) -> None:
    """Changes, removes or repeats one or two values."""
    for _ in range(generator.choice([1, 1, 2])):
        path = generator.choice(list(leaves(manifest)))
        parent = manifest
        for key in path[:-1]:
            parent = parent[key]
        if generator.random() < 0.2:
            del parent[path[-1]]
        else:
            parent[path[-1]] = changed(parent[path[-1]], generator)


def sign(folder: Path, manifest: Manifest) -> None:
    """Makes sizes and digests those of the files, where the manifest still has a place for them."""
    entries = manifest.get("files")
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            continue
        path = folder / Path(entry["name"]).name
        if not path.is_file():
            continue
        data = path.read_bytes()
        if "sha256" in entry:
            entry["sha256"] = hashlib.sha256(data).hexdigest()
        sections = entry.get("sections")
        if isinstance(sections, dict) and isinstance(sections.get("bytes"), int):
            size = sections["bytes"]
            if 0 < size < 1 << 31 and isinstance(sections.get("sha256"), list):
                sections["sha256"] = [
                    hashlib.sha256(data[begin : begin + size]).hexdigest()
                    for begin in range(0, len(data), size)
                ]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def replace(path: Path, data: bytes) -> None:
    """A file of its own instead of the link to the intact one."""
    path.unlink()
    path.write_bytes(data)


def damage_program(how: Callable[[bytearray, random.Random], None]) -> Callable[..., None]:
    def damage(folder: Path, manifest: Manifest, generator: random.Random) -> None:
        data = bytearray((folder / "model.pte").read_bytes())
        how(data, generator)
        replace(folder / "model.pte", bytes(data))

    return damage


def damage_index(folder: Path, manifest: Manifest, generator: random.Random) -> None:
    """The header and the index of the weights' file, which lie in its first bytes."""
    path = next(folder.glob("*.ptd"))
    data = bytearray(path.read_bytes())
    head = data[:4096]
    generator.choice([damage_bytes, damage_numbers])(head, generator)
    data[: len(head)] = head
    replace(path, bytes(data))


DAMAGES: list[tuple[str, Callable[[Path, Manifest, random.Random], None]]] = [
    ("bits of the program", damage_program(damage_bytes)),
    ("numbers of the program", damage_program(damage_numbers)),
    ("the manifest", lambda folder, manifest, generator: damage_manifest(manifest, generator)),
    ("the index of the weights", damage_index),
]


def run(command: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [os.environ["RUNNER"], *command, "--model", str(folder)],
        capture_output=True,
        check=False,
        timeout=120,
    )


def verdicts(case: int, intact: Path, place: Path) -> tuple[str, dict[str, str]]:
    """What was damaged, and by command "accepted", the sentence that refused, or how it crashed."""
    generator = random.Random(case)
    name, damage = DAMAGES[case % len(DAMAGES)]
    folder = place / str(case)
    folder.mkdir()
    for path in intact.iterdir():
        (folder / path.name).symlink_to(path)
    manifest = copy.deepcopy(json.loads((intact / "manifest.json").read_text()))
    damage(folder, manifest, generator)
    (folder / "manifest.json").unlink()
    sign(folder, manifest)
    found = {}
    for command, arguments in COMMANDS.items():
        done = run(arguments, folder)
        found[command] = {
            0: "accepted",
            1: "refused: " + done.stderr.decode(errors="replace").strip().split("\n")[-1],
        }.get(done.returncode, f"exit {done.returncode}: {done.stderr!r}")
    shutil.rmtree(folder)
    return name, found


def verdict(text: str) -> str:
    return text.split(":")[0]


def test_all_commands_accept_the_intact_artifact() -> None:
    for arguments in COMMANDS.values():
        done = run(arguments, Path(os.environ["ARTIFACT"]))
        assert done.returncode == 0, done.stderr


def test_all_commands_agree_on_every_damaged_artifact(tmp_path: Path) -> None:
    intact = Path(os.environ["ARTIFACT"]).absolute()
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    disagreements = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda case: verdicts(case, intact, tmp_path), range(CASES))
        for case, (name, found) in enumerate(results):
            kinds = {verdict(text) for text in found.values()}
            counts[name, kinds.pop() if len(kinds) == 1 else "disagreed"] += 1
            if kinds or not {verdict(text) for text in found.values()} <= {"accepted", "refused"}:
                disagreements.append(f"case {case}, {name}: {found}")
    for (name, kind), count in sorted(counts.items()):
        print(f"{name}: {count} {kind}")
    assert disagreements == []
    for name, _ in DAMAGES:  # damage that is always seen, or never, proves nothing
        assert counts[name, "refused"] > 0, name
    assert sum(count for (_, kind), count in counts.items() if kind == "accepted") > 0
