"""Finishes an installed distribution: byte-compiles the folder and prints its BUILD file.

Usage: distribution_build.py FOLDER directory|files [NAME]..., where NAMEs are dependencies that the
metadata lacks. The folder is declared as one input, which is fast, or as its files, which remote
execution needs: Bazel sends no source directory along with a program.
Runs in an environment that has pip and nothing else.
"""

import compileall
import json
import pathlib
import py_compile
import re
import shutil
import sys
from importlib import metadata

from pip._vendor.packaging.requirements import Requirement

BUILD = """load("@rules_python//python:py_library.bzl", "py_library")

package(default_visibility = ["//visibility:public"])

exports_files(["site"])

py_library(
    name = "pkg",
    data = {data},
    imports = ["site"],
    deps = {deps},
)
"""


DATA = {"directory": '["site"]', "files": 'glob(["site/**"])'}


def label_name(name: str) -> str:
    return re.sub(r"[-.]", "_", name.lower())


def dependencies(distribution: metadata.Distribution, undeclared: list[str]) -> list[str]:
    """The labels of what the distribution needs; each is in the lock or in excluded.txt."""
    requirements = [Requirement(line) for line in distribution.requires or []]
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    names = {requirement.name for requirement in needed}.union(undeclared)
    return sorted({f"@python_deps//:{label_name(name)}" for name in names})


def remove_scripts(folder: pathlib.Path) -> None:
    """Removes scripts that name this machine's interpreter; native programs stay."""
    for script in folder.glob("bin/*"):
        if script.is_file() and script.read_bytes()[:2] == b"#!":
            script.unlink()


# What no program of ours imports, a good third of all source; a test may, and compiles it then. A program must not:
# outside of a sandbox, Python would write what it compiled into the repository.
SOURCE_ONLY = re.compile(
    r"/tests/"
    r"|/transformers/models/(?!auto/|encoder_decoder/|gemma)[^/]+/"
    r"|/executorch/(backends|examples)/"
    r"|/sympy/physics/"
    r"|/mypy/"  # machine code lies beside its source
)


def compile_folder(folder: pathlib.Path) -> None:
    """Compiles to files that hold no time and no path, so every machine makes the same ones."""
    shutil.rmtree(folder / "bin" / "__pycache__", ignore_errors=True)
    compileall.compile_dir(
        folder,
        quiet=2,
        rx=SOURCE_ONLY,
        workers=0,
        stripdir=str(folder.absolute()),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def main(folder: str, declared: str, *undeclared: str) -> None:
    site = pathlib.Path(folder)
    remove_scripts(site)
    compile_folder(site)
    [distribution] = metadata.distributions(path=[folder])
    deps = json.dumps(dependencies(distribution, list(undeclared)))
    print(BUILD.format(data=DATA[declared], deps=deps))


# compileall's workers import this file again.
if __name__ == "__main__":
    main(*sys.argv[1:])
