"""Remakes requirements.lock from requirements.in with the ordinary pip client.

What must stay true: the lock holds the closure of requirements.in, less excluded.txt, at one
version each, with the digest of the wheel that pip chooses on this interpreter.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

HEADER = """\
# Made from requirements.in by `./bazelw run //third_party/python:lock`; do not edit.
# torch is the CPU build, which PyTorch's own index of CPU wheels holds.
"""


@dataclasses.dataclass(frozen=True)
class Wheel:
    """One wheel that pip chose."""

    name: str
    version: str
    digest: str
    requires: tuple[str, ...]


def read_names(path: pathlib.Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def choose(requirements: list[str]) -> dict[str, Wheel]:
    """Asks pip which wheels satisfy the requirements themselves, installing nothing."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--ignore-installed", "--only-binary=:all:", "--report=-", *requirements]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    wheels = [read_wheel(item) for item in json.loads(report)["install"]]
    return {wheel.name: wheel for wheel in wheels}


def read_wheel(item: dict[str, Any]) -> Wheel:
    about = item["metadata"]
    digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
    version = about["version"].split("+")[0]
    name = canonicalize_name(about["name"])
    return Wheel(name, version, digest, tuple(about.get("requires_dist", ())))


def needed(wheel: Wheel) -> list[Requirement]:
    """The requirements of a wheel that hold on this machine, without extras."""
    requirements = map(Requirement, wheel.requires)
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]


def resolve(roots: list[str], excluded: set[str]) -> dict[str, Wheel]:
    """Adds dependencies until none is missing; each wheel then satisfies all that is asked."""
    wanted = {canonicalize_name(Requirement(root).name): {root} for root in roots}
    while True:
        wheels = choose(sorted(line for lines in wanted.values() for line in lines))
        before = {name: set(lines) for name, lines in wanted.items()}
        for requirement in (r for wheel in wheels.values() for r in needed(wheel)):
            name = canonicalize_name(requirement.name)
            if name not in excluded:
                wanted.setdefault(name, set()).add(f"{requirement.name}{requirement.specifier}")
        if wanted == before:
            return wheels


def format_lock(wheels: dict[str, Wheel]) -> str:
    entries = [
        f"{name}=={wheel.version} \\\n    --hash=sha256:{wheel.digest}"
        for name, wheel in sorted(wheels.items())
    ]
    return "\n".join([HEADER, *entries]) + "\n"


def main() -> None:
    place = pathlib.Path(os.environ["BUILD_WORKSPACE_DIRECTORY"]) / "third_party" / "python"
    excluded = {canonicalize_name(name) for name in read_names(place / "excluded.txt")}
    wheels = resolve(read_names(place / "requirements.in"), excluded)
    (place / "requirements.lock").write_text(format_lock(wheels))
    print(f"requirements.lock: {len(wheels)} distributions")


if __name__ == "__main__":
    main()
