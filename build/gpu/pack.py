"""Packs what a GPU machine without Bazel needs to check this build: plain files, no links.

Usage: bazel run //build/gpu:pack -- --output DIR [--artifact DIR ...]

The folder gets `runner` with its library, the GPU tests, small artifacts, and check_gpu.py, which runs them there;
with --artifact of a real model, check_model.py compares its CPU and GPU results.
"""

import argparse
import os
import pathlib
import shutil
import sys


def user_path(path: str) -> pathlib.Path:
    return pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), path)


def copy(source: pathlib.Path, target: pathlib.Path) -> int:
    """Copies one file; the bytes that it takes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    return target.stat().st_size


def copy_artifact(folder: pathlib.Path, output: pathlib.Path) -> int:
    if not (folder / "manifest.json").exists():
        raise SystemExit(f"pack: {folder} has no manifest.json (name the folder that export made)")
    target = output / "artifacts" / folder.name
    return sum(copy(path, target / path.name) for path in sorted(folder.iterdir()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bazel run //build/gpu:pack --", description=__doc__)
    parser.add_argument("--output", required=True, help="the folder to fill")
    parser.add_argument("--artifact", action="append", default=[], help="one more artifact folder")
    parser.add_argument("--file", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--test", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--built_artifact", action="append", default=[], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    output = user_path(arguments.output)
    total = 0
    for name in arguments.file:
        total += copy(pathlib.Path(name), output / pathlib.Path(name).name)
    for name in arguments.test:
        total += copy(
            pathlib.Path(name), output / "tests" / pathlib.Path(name).name.removesuffix("_program")
        )
    for name in arguments.built_artifact:
        total += copy_artifact(pathlib.Path(name), output)
    for name in arguments.artifact:
        total += copy_artifact(user_path(name), output)
    print(f"{output}: {total / 1e6:.1f} MB; there: python3 check_gpu.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
