"""Packs the Python programs and the runner as a wheel.

All lies in one package, gemma_executorch, which holds the repository's tree as far as the programs
need it. The wheel requires what the programs import in the lock's own versions.
The same files give the same bytes.
"""

import base64
import dataclasses
import hashlib
import io
import pathlib
import re
import zipfile
from collections.abc import Iterable, Sequence

from build.release.archive_entry import ZIP_TIME, Entry, argument_parser, in_order, named_entries

PACKAGE = "gemma_executorch"
TAG = "py3-none-linux_x86_64"
PROGRAMS = {
    "gemma-export": "export",
    "gemma-inspect": "inspect",
    "gemma-quantize": "quantize",
    "gemma-run": "run",
}
# What the programs' help and errors tell a user to type, here and where the wheel is installed.
COMMANDS = {
    "./bazelw run //python/export:gemma4_31b --": "gemma-export",
    "./bazelw run //python/quant:gemma4_31b --": "gemma-quantize",
    "./bazelw run //python/inspect --": "gemma-inspect",
    "./bazelw run //cc/runner --": "gemma-run",
}
_METADATA = """Metadata-Version: 2.4
Name: gemma-executorch
Version: {version}
Summary: Gemma 4 31B-IT (text), from a checkpoint to tokens through ExecuTorch
Requires-Python: >={oldest}, <{after_newest}
{licenses}{requirements}
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distribution:
    """What the wheel says of itself. `pythons`: the versions that the lock holds wheels for."""

    version: str
    pythons: Sequence[str]
    requirements: Sequence[str]

    def metadata(self, licenses: Iterable[str]) -> str:
        major, minor = self.pythons[-1].split(".")
        return _METADATA.format(
            version=self.version,
            oldest=self.pythons[0],
            after_newest=f"{major}.{int(minor) + 1}",
            licenses="".join(f"License-File: {name}\n" for name in licenses),
            requirements="".join(f"Requires-Dist: {line}\n" for line in self.requirements),
        )


def locked_requirements(lock: str, wanted: Iterable[str]) -> list[str]:
    """`name==version` of the wanted distributions, whose names may have `_` for `-` and `.`.

    Raises ValueError for a name that the lock does not hold.
    A local version is a build of it (torch's +cpu): any build will do.
    """
    found = {
        re.sub(r"[-.]", "_", name): f"{name}=={version}"
        for name, version in re.findall(r"^([\w.-]+)==([^\s+]+)", lock, re.MULTILINE)
    }
    if missing := sorted(set(wanted) - set(found)):
        raise ValueError(f"{', '.join(missing)}: not in the lock")
    return sorted(found[name] for name in set(wanted))


def installed_text(entry: Entry) -> Entry:
    """A Python source with the commands of an installation."""
    if not entry.name.endswith(".py"):
        return entry
    text = entry.data.decode()
    for here, there in COMMANDS.items():
        text = text.replace(here, there)
    return dataclasses.replace(entry, data=text.encode())


def make_wheel(
    entries: Iterable[Entry], licenses: Iterable[Entry], distribution: Distribution
) -> bytes:
    """The wheel's bytes: the entries, licences and metadata in .dist-info, RECORD at the end."""
    info = f"{PACKAGE}-{distribution.version}.dist-info"
    licenses = in_order(licenses)
    scripts = "".join(
        f"{name} = {PACKAGE}.programs:{function}\n" for name, function in PROGRAMS.items()
    )
    texts = {
        "METADATA": distribution.metadata(entry.name for entry in licenses),
        "WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {TAG}\n",
        "entry_points.txt": f"[console_scripts]\n{scripts}",
    }
    everything = [
        *map(installed_text, entries),
        *(dataclasses.replace(e, name=f"{info}/licenses/{e.name}") for e in licenses),
        *(Entry(name=f"{info}/{name}", data=text.encode()) for name, text in texts.items()),
    ]
    ordered = in_order(everything)
    record = "".join(f"{e.name},sha256={_digest(e.data)},{len(e.data)}\n" for e in ordered)
    record += f"{info}/RECORD,,\n"
    return _zip([*ordered, Entry(name=f"{info}/RECORD", data=record.encode())])


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _zip(entries: Iterable[Entry]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for entry in entries:
            member = zipfile.ZipInfo(entry.name, ZIP_TIME)
            member.create_system = 3  # Unix: so that modes count
            member.external_attr = (0o100000 | entry.mode) << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, entry.data)
    return packed.getvalue()


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--license", action="append", default=[], type=pathlib.Path)
    parser.add_argument("--lock", type=pathlib.Path, required=True)
    parser.add_argument("--pythons", type=pathlib.Path, required=True)
    parser.add_argument("--distribution", action="append", default=[])
    arguments = parser.parse_args()
    pythons = [line for line in arguments.pythons.read_text().split("\n") if line[:1].isdigit()]
    distribution = Distribution(
        version=arguments.version,
        pythons=pythons,
        requirements=locked_requirements(arguments.lock.read_text(), arguments.distribution),
    )
    licenses = [Entry(name=path.name, data=path.read_bytes()) for path in arguments.license]
    wheel = make_wheel(named_entries(arguments), licenses, distribution)
    arguments.output.write_bytes(wheel)


if __name__ == "__main__":
    main()
