"""What product code uses, read from its sources: C++ includes and Python imports.

A file of the house is named by its path; anything else by its library, `torch` or `cuda.h`.
"""

import ast
import functools
import re
from collections.abc import Iterator, Mapping

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+[<"]([^>"]+)[>"]', re.MULTILINE)
_SOURCE = re.compile(r"\.(py|cc|h|cu|cuh)$")
_FOR_TESTS = re.compile(r"(^|/)(testing|benchmark)/|_(test|fuzz)\.(py|cc|cu|h)$|(^|/)fake_\w+\.h$")


def is_product(path: str) -> bool:
    """Whether the rules bind a file: a source, neither a test nor what only tests use."""
    return bool(_SOURCE.search(path)) and not _FOR_TESTS.search(path)


def is_for_tests(path: str) -> bool:
    """Tests, testing/ and benchmark/ folders, and the fakes beside interfaces."""
    return bool(_SOURCE.search(path) and _FOR_TESTS.search(path))


def uses_of(path: str, text: str, files: Mapping[str, str]) -> Iterator[str]:
    """The files of the house, and the libraries, that `text`, the contents of `path`, names."""
    names = _names(path.endswith(".py"), text)
    for name in (_file(name, files) for name in names) if path.endswith(".py") else names:
        if name in files or name.split("/")[0] in ("cc", "python"):
            yield name
        else:
            yield name.split("/")[0]


@functools.cache  # several checks ask for the same files
def _names(is_python: bool, text: str) -> tuple[str, ...]:
    """The headers, or the modules and what is imported from them, that a source names."""
    if not is_python:
        return tuple(_INCLUDE.findall(text))
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def _file(module: str, files: Mapping[str, str]) -> str:
    """The file of a module, or of a name in a module; else the library."""
    path = module.replace(".", "/")
    for candidate in (path, path.rpartition("/")[0]):
        if f"{candidate}.py" in files:
            return f"{candidate}.py"
    return path if path.startswith("python/") else path.split("/")[0]


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """The files of a circle, the first again at the end; empty where there is none."""
    done: set[str] = set()
    for start in sorted(edges):
        if found := _circle_from(start, edges, done):
            return found
    return []


def _circle_from(start: str, edges: Mapping[str, set[str]], done: set[str]) -> list[str]:
    way: list[str] = [start]
    open_edges = [iter(sorted(edges.get(start, ())))]
    while way:
        following = next(open_edges[-1], None)
        if following is None:
            done.add(way.pop())
            open_edges.pop()
        elif following in way:
            return [*way[way.index(following) :], following]
        elif following not in done:
            way.append(following)
            open_edges.append(iter(sorted(edges.get(following, ()))))
    return []
