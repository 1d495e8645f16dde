"""Packs the runner: a .tar.gz with one folder, NAME-VERSION, in which everything lies.

The same files give the same bytes.
"""

import gzip
import io
import tarfile
from collections.abc import Iterable

from build.release.archive_entry import SECONDS, Entry, argument_parser, in_order, named_entries


def make_tar(entries: Iterable[Entry], folder: str) -> bytes:
    """A gzipped tar of the entries below `folder`; owner root, time fixed, no other metadata."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=9, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for entry in in_order(entries):
            member = tarfile.TarInfo(f"{folder}/{entry.name}")
            member.size = len(entry.data)
            member.mode = entry.mode
            member.mtime = SECONDS
            member.uname = member.gname = "root"
            tar.addfile(member, io.BytesIO(entry.data))
    return packed.getvalue()


def main() -> None:
    arguments = argument_parser(__doc__).parse_args()
    folder = f"gemma_executorch-{arguments.version}"
    arguments.output.write_bytes(make_tar(named_entries(arguments), folder))


if __name__ == "__main__":
    main()
