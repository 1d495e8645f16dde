"""Checks the style of every file that git knows or would add; `--fix` corrects what it can.

Exit code: 0 clean, 1 something is left to correct, 2 wrong usage. What is checked: see checks.py.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

from build.lint.checks import Check, all_checks
from build.lint.documents import long_lines, missing_paths
from build.lint.tracked_files import list_files, list_ignored


def runfile(name: str) -> str:
    """A file of a distribution or repository that this program depends on."""
    for folder in sys.path:
        if (path := pathlib.Path(folder, name)).exists():
            return str(path)
    raise FileNotFoundError(
        f"{name} is not among the files of //build/lint: name it in its BUILD.bazel"
    )


def own_findings(root: pathlib.Path, paths: list[str]) -> dict[str, list[str]]:
    """What we look for ourselves: the name of each check, and a sentence for each finding."""
    return {
        "ignored files": [
            f"{path} is tracked although .gitignore names it (git rm --cached {path})"
            for path in list_ignored(root)
        ],
        "documents": long_lines(root, paths) + missing_paths(root, paths),
    }


def report(name: str, findings: list[str]) -> bool:
    """Shows what a check of ours found; returns whether that is nothing."""
    for finding in findings:
        print(finding)
    print(f"{name}: {'NOT CLEAN' if findings else 'clean'}", flush=True)
    return not findings


def run_check(check: Check, files: list[str], root: pathlib.Path, fix: bool) -> bool:
    """Runs one tool, shows what it says, and returns whether the files are clean now."""
    start = time.monotonic()
    if fix and check.fix:
        subprocess.run([*check.fix, *files], cwd=root, check=False, capture_output=True)
    clean = subprocess.run([*check.check, *files], cwd=root, check=False).returncode == 0
    verdict = "clean" if clean else "NOT CLEAN"
    print(
        f"{check.name}: {len(files)} files, {time.monotonic() - start:.1f} s, {verdict}", flush=True
    )
    return clean


def find_checks() -> list[Check]:
    repositories = pathlib.Path(
        os.environ.get("RUNFILES_DIR") or pathlib.Path(sys.argv[0]).parents[2].parent
    )
    [buildifier] = repositories.glob("*buildifier/buildifier")
    mypy = f"{sys.executable} -m mypy --config-file=pyproject.toml"
    return all_checks(
        str(buildifier), runfile("bin/ruff"), runfile("clang_format/data/bin/clang-format"), mypy
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="bazelw run //build/lint --", description=__doc__)
    parser.add_argument("--fix", action="store_true", help="correct what can be corrected")
    parser.add_argument("--only", help="run this one check")
    arguments = parser.parse_args()
    root = pathlib.Path(os.environ["BUILD_WORKSPACE_DIRECTORY"])
    paths = list_files(root)
    checks = [check for check in find_checks() if arguments.only in (None, check.name)]
    failed = [
        c.name
        for c in checks
        if (files := c.files(paths)) and not run_check(c, files, root, arguments.fix)
    ]
    failed += [
        name
        for name, findings in own_findings(root, paths).items()
        if arguments.only in (None, name) and not report(name, findings)
    ]
    if failed:
        remedy = "./bazelw run //build/lint -- --fix corrects most of it"
        print(f"lint: {', '.join(failed)} found something; {remedy}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
