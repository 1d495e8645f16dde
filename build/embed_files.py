"""Writes files into C++: the source of `WebFiles()` as cc/server/web_files.h declares it.

The same files give the same source, in the order of their names; an entity tag is the digest of a
file's bytes.
"""

import argparse
import hashlib
import pathlib
from collections.abc import Iterable

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEAD = """// Made by build/embed_files.py.
#include "cc/server/web_files.h"

namespace gemma::server {
namespace {

constexpr WebFile kFiles[] = {
"""
_TAIL = """};

}  // namespace

std::span<const WebFile> WebFiles() { return kFiles; }

}  // namespace gemma::server
"""


def literal(data: bytes) -> str:
    """C++ string literals of these bytes, one a line. Octal escapes end after three digits."""
    lines = data.splitlines(keepends=True) or [b""]
    return "\n".join(f'     "{"".join(map(_escape, line))}"' for line in lines)


def _escape(byte: int) -> str:
    plain = 32 <= byte < 127 and chr(byte) not in '"\\?'
    return chr(byte) if plain else f"\\{byte:03o}"


def source(files: Iterable[pathlib.Path]) -> str:
    """Raises KeyError for a kind of file whose media type is not known here."""
    entries = []
    for path in sorted(files, key=lambda file: file.name):
        data = path.read_bytes()
        tag = hashlib.sha256(data).hexdigest()[:32]
        entries.append(
            f'    {{"{path.name}", "{_TYPES[path.suffix]}", "\\"{tag}\\"",\n'
            f"     absl::string_view(\n{literal(data)},\n     {len(data)})}},\n"
        )
    return _HEAD + "".join(entries) + _TAIL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("files", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    arguments.output.write_text(source(arguments.files))


if __name__ == "__main__":
    main()
