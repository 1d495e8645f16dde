"""Remakes requirements.lock from requirements.in with the ordinary pip client.

What must stay true: the lock holds the closure of requirements.in, less excluded.txt, at one
version each, with the digest of the wheel that pip chooses for each Python of versions.txt. A
version of the lock that still satisfies what is asked stays, unless --upgrade is given. Where
pip finds no wheel and the lock has this version already (torch's CPU build, out of reach of its
index), the digests stay as they are, and a line says so. To find them, PIP_EXTRA_INDEX_URL names
PyTorch's index of CPU wheels.
"""

import argparse
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
# One digest for each wheel: a wheel for every Python, or one for each Python of versions.txt, oldest first.
# torch is the CPU build, which PyTorch's own index of CPU wheels holds.
"""


@dataclasses.dataclass(frozen=True)
class Wheel:
    """One wheel that pip chose."""

    name: str
    version: str
    digest: str
    requires: tuple[str, ...]

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


def read_names(path: pathlib.Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def choose(requirements: list[str], python: str) -> dict[str, Wheel]:
    """Asks pip which wheels satisfy the requirements themselves, installing nothing.

    Args:
        requirements: what to satisfy, in pip's format.
        python: the version of Python whose wheels are meant, such as "3.12".

    Raises:
        subprocess.CalledProcessError: pip finds no such wheels; it has said why.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--ignore-installed", "--only-binary=:all:", "--report=-", "--target=unused"]
    command += [f"--python-version={python}", *requirements]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    wheels = [read_wheel(item) for item in json.loads(report)["install"]]
    return {wheel.name: wheel for wheel in wheels}


def read_wheel(item: dict[str, Any]) -> Wheel:
    about = item["metadata"]
    digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
    name = canonicalize_name(about["name"])
    return Wheel(name, about["version"], digest, tuple(about.get("requires_dist", ())))


def needed(wheel: Wheel, versions: list[str]) -> list[Requirement]:
    """The requirements of a wheel that hold on this machine with any Python, without extras."""
    environments = [
        {"extra": "", "python_version": version, "python_full_version": f"{version}.0"}
        for version in versions
    ]
    requirements = map(Requirement, wheel.requires)
    return [
        r
        for r in requirements
        if r.marker is None or any(r.marker.evaluate(environment) for environment in environments)
    ]


def still_good(pins: list[str], wanted: dict[str, set[str]]) -> list[str]:
    """Those of the lock's `name==version` that satisfy everything asked of their distribution."""
    good = []
    for pin in pins:
        name, version = pin.split("==")
        lines = wanted.get(canonicalize_name(name), set())
        if lines and all(Requirement(line).specifier.contains(version, True) for line in lines):
            good.append(pin)
    return good


def resolve(
    roots: list[str], excluded: set[str], versions: list[str], pins: list[str]
) -> dict[str, Wheel]:
    """Adds dependencies until none is missing; each wheel then satisfies all that is asked.

    Args:
        roots: what is asked for, in pip's format.
        excluded: the names of dependencies to leave out.
        versions: the versions of Python; the oldest decides which version of a wheel is taken.
        pins: each `name==version` that stays if it satisfies what is asked.
    """
    wanted = {canonicalize_name(Requirement(root).name): {root} for root in roots}
    while True:
        requirements = {line for lines in wanted.values() for line in lines}
        wheels = choose(sorted(requirements.union(still_good(pins, wanted))), versions[0])
        before = {name: set(lines) for name, lines in wanted.items()}
        for requirement in (r for wheel in wheels.values() for r in needed(wheel, versions)):
            name = canonicalize_name(requirement.name)
            if name not in excluded:
                wanted.setdefault(name, set()).add(f"{requirement.name}{requirement.specifier}")
        if wanted == before:
            return wheels


def read_lock(path: pathlib.Path) -> dict[str, list[str]]:
    """The digests of each `name==version` of a lock."""
    entries = path.read_text().replace("\\\n", " ").splitlines()
    words = [line.split() for line in entries if line and not line.startswith("#")]
    return {pin: [digest.removeprefix("--hash=sha256:") for digest in rest] for pin, *rest in words}


def collect_digests(
    wheels: dict[str, Wheel], versions: list[str], before: dict[str, list[str]]
) -> dict[str, list[str]]:
    """The digests of every wheel of each `name==version`, oldest Python first.

    PyPI does not hold builds such as 2.13.0+cpu, so each of these is asked for alone.
    """
    digests = {wheel.pin: [wheel.digest] for wheel in wheels.values()}
    for version in versions[1:]:
        found = choose([pin for pin in digests if "+" not in pin], version)
        for pin in (pin for pin in digests if "+" in pin):
            try:
                found |= choose([pin], version)
            except subprocess.CalledProcessError:
                if not before.get(pin):
                    raise
                print(f"{pin} for Python {version}: not found, its digests stay as they are")
                digests[pin] += before[pin]
        for wheel in found.values():
            digests[wheel.pin].append(wheel.digest)
    return {pin: list(dict.fromkeys(entries)) for pin, entries in digests.items()}


def format_lock(digests: dict[str, list[str]]) -> str:
    entries = [
        " \\\n    ".join([pin, *(f"--hash=sha256:{digest}" for digest in digests[pin])])
        for pin in sorted(digests, key=lambda pin: pin.split("==")[0])
    ]
    return "\n".join([HEADER, *entries]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bazelw run //third_party/python:lock --")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    arguments = parser.parse_args()
    place = pathlib.Path(os.environ["BUILD_WORKSPACE_DIRECTORY"]) / "third_party" / "python"
    excluded = {canonicalize_name(name) for name in read_names(place / "excluded.txt")}
    versions = read_names(place / "versions.txt")
    lock = place / "requirements.lock"
    before = read_lock(lock)
    pins = [] if arguments.upgrade else list(before)
    wheels = resolve(read_names(place / "requirements.in"), excluded, versions, pins)
    digests = collect_digests(wheels, versions, before)
    lock.write_text(format_lock(digests))
    print(f"{lock.name}: {len(digests)} distributions for Python {', '.join(versions)}")


if __name__ == "__main__":
    main()
