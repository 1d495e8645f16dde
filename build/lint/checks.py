"""Which tool looks at which file, and with which arguments. Plain data: no tool runs here."""

import dataclasses
import pathlib
import re


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A tool for the files whose path matches `pattern`; without `fix` it can only complain."""

    name: str
    pattern: str
    check: tuple[str, ...]
    fix: tuple[str, ...] = ()

    def files(self, paths: list[str]) -> list[str]:
        return [path for path in paths if re.search(self.pattern, path)]


BAZEL_FILES = r"(^|/)(BUILD\.bazel|MODULE\.bazel|REPO\.bazel|[^/]*\.(bzl|BUILD))$"
CXX_FILES = r"\.(cc|h|cu|cuh)$"


def all_checks(buildifier: str, ruff: str, clang_format: str, mypy: str) -> list[Check]:
    """The checks in the order in which they run; each argument tells how to start a tool."""
    lint = (
        buildifier,
        "-lint=warn",
        "-warnings=-module-docstring,-function-docstring-args,-function-docstring-return",
    )
    return [
        Check(
            name="buildifier",
            pattern=BAZEL_FILES,
            check=(*lint, "-mode=check"),
            fix=(*lint[:1], "-lint=fix", lint[2], "-mode=fix"),
        ),
        Check(
            name="ruff format",
            pattern=r"\.py$",
            check=(ruff, "format", "--check", "--quiet"),
            fix=(ruff, "format", "--quiet"),
        ),
        Check(
            name="ruff",
            pattern=r"\.py$",
            check=(ruff, "check", "--quiet"),
            fix=(ruff, "check", "--quiet", "--fix"),
        ),
        Check(
            name="clang-format",
            pattern=CXX_FILES,
            check=(clang_format, "--dry-run", "--Werror"),
            fix=(clang_format, "-i"),
        ),
        Check(name="bash", pattern=r"(\.sh|^bazelw|^\.ci/run)$", check=("bash", "-n")),
        Check(name="mypy", pattern=r"^(build|python)/.*\.py$", check=tuple(mypy.split())),
    ]


def lintable(listing: str, root: pathlib.Path) -> list[str]:
    """The files of `git ls-files -z`, less deleted ones (still listed) and links."""
    paths = [path for path in listing.split("\0") if path]
    return sorted(
        path for path in paths if (root / path).is_file() and not (root / path).is_symlink()
    )
