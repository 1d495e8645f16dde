"""Remakes requirements.lock from requirements.in with the ordinary pip client.

What must stay true: the lock holds the closure of requirements.in, less excluded.txt, at one
version each, with the digest of every wheel that pip chooses on the interpreters named here.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

PYTHONS = ("3.11", "3.12")
HEADER = """# Made from requirements.in by `./bazelw run //third_party/python:lock`; do not edit.
# torch: the digests are of the CPU builds.
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


def choose(requirements: list[str], python: str) -> list[Wheel]:
    """Asks pip which wheels satisfy the requirements themselves, installing nothing."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--dry-run",
            "--no-deps",
            "--ignore-installed",
        ]
        command += [
            "--only-binary=:all:",
            f"--python-version={python}",
            f"--target={folder}",
            "--report=-",
        ]
        report = subprocess.run(command + requirements, check=True, stdout=subprocess.PIPE).stdout
    return [read_wheel(item) for item in json.loads(report)["install"]]


def read_wheel(item: dict) -> Wheel:
    about = item["metadata"]
    digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
    name = canonicalize_name(about["name"])
    version = about["version"].split("+")[0]
    return Wheel(name, version, digest, tuple(about.get("requires_dist", ())))


def needed(wheel: Wheel, python: str) -> list[Requirement]:
    """The requirements of a wheel that hold on Linux and this Python, without extras."""
    environment = {"extra": "", "python_version": python, "python_full_version": python + ".0"}
    requirements = map(Requirement, wheel.requires)
    return [r for r in requirements if r.marker is None or r.marker.evaluate(environment)]


def resolve(roots: list[str], excluded: set[str]) -> dict[str, Wheel]:
    """Adds dependencies until none is missing; each wheel then satisfies all that is asked."""
    wanted = {canonicalize_name(Requirement(root).name): {root} for root in roots}
    while True:
        asked = [line for lines in wanted.values() for line in sorted(lines)]
        wheels = {wheel.name: wheel for wheel in choose(asked, PYTHONS[0])}
        before = {name: set(lines) for name, lines in wanted.items()}
        for requirement in (r for wheel in wheels.values() for r in needed(wheel, PYTHONS[0])):
            name = canonicalize_name(requirement.name)
            if name not in excluded:
                wanted.setdefault(name, set()).add(f"{requirement.name}{requirement.specifier}")
        if wanted == before:
            return wheels


def format_lock(wheels: dict[str, Wheel], digests: dict[str, set[str]]) -> str:
    entries = [HEADER]
    for name, wheel in sorted(wheels.items()):
        hashes = [f"    --hash=sha256:{digest}" for digest in sorted(digests[name])]
        entries.append(" \\\n".join([f"{name}=={wheel.version}", *hashes]))
    return "\n".join(entries) + "\n"


def main() -> None:
    place = pathlib.Path(os.environ["BUILD_WORKSPACE_DIRECTORY"]) / "third_party" / "python"
    excluded = {canonicalize_name(name) for name in read_names(place / "excluded.txt")}
    wheels = resolve(read_names(place / "requirements.in"), excluded)
    digests = {name: {wheel.digest} for name, wheel in wheels.items()}
    pins = [f"{name}=={wheel.version}" for name, wheel in wheels.items()]
    for python in PYTHONS[1:]:
        for wheel in choose(pins, python):
            digests[wheel.name].add(wheel.digest)
    (place / "requirements.lock").write_text(format_lock(wheels, digests))
    print(f"requirements.lock: {len(wheels)} distributions")


if __name__ == "__main__":
    main()
