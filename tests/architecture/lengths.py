"""How many lines functions and classes have, from the first of their header to the closing one.

Python is parsed; of C++ the braces are matched, comments and strings left out, and what stands
before a brace says whether it opens a function, a class, or something inside of one.
"""

import ast
import re
from collections.abc import Iterator

FUNCTION_LINES = 80
CLASS_LINES = 300

_NOISE = re.compile(
    r"//[^\n]*|/\*.*?\*/|R\"(\w*)\(.*?\)\1\"|\"(?:\\.|[^\"\\\n])*\"|(?<![\w])'(?:\\.|[^'\\\n])*'",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_TYPE = re.compile(
    r"(?:^|[\s>])(?:class|struct|union)\s+(?:\w+\s+)*?(\w+)\s*(?:final\s*)?(?::[^:]|$)"
)
_NAME = re.compile(r"([\w:~]+|operator\s*\S+)\s*\($")
_LABEL = re.compile(r"\s*(?:(?:public|private|protected)\s*:\s*)*")
_OTHER = ("other", "")
_CONTROL = ("if", "for", "while", "switch", "catch", "return", "do", "else", "try")


def too_long(path: str, text: str) -> Iterator[tuple[str, int]]:
    """Name and lines of every function over 80 and every class over 300 lines."""
    spans = _python(text) if path.endswith(".py") else cxx_spans(text)
    for kind, name, lines in spans:
        if lines > (FUNCTION_LINES if kind == "function" else CLASS_LINES):
            yield name, lines


def _python(text: str) -> Iterator[tuple[str, str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            yield kind, node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def cxx_spans(text: str) -> Iterator[tuple[str, str, int]]:
    """("function" or "class", name, lines) of a C++ or CUDA source."""
    clean = _DIRECTIVE.sub(_blank, _NOISE.sub(_blank, text))
    opened: list[tuple[str, str, int]] = []  # kind, name, where the header begins
    begin = 0
    for match in re.finditer(r"[{};]", clean):
        at, what = match.start(), match.group()
        if what == "{":
            start = _LABEL.match(clean, begin).end()  # type: ignore[union-attr]
            inside = any(kind == "function" for kind, _, _ in opened)
            opened.append((*(_OTHER if inside else _kind(clean[start:at])), start))
        elif what == "}" and opened:
            kind, name, start = opened.pop()
            if kind in ("function", "class"):
                yield kind, name, clean.count("\n", start, at) + 1
            elif kind == "other":
                continue  # an initializer: the declaration goes on
        begin = at + 1


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())


def _kind(header: str) -> tuple[str, str]:
    """What a brace after `header` opens, at namespace or class level, and its name."""
    if re.search(r"[\w>]$", header):
        return _OTHER  # an initializer; before a body stands a space
    header = header.rstrip()
    if re.match(r"(?:inline\s+)?namespace\b|extern\b\s*$", header):
        return "namespace", ""
    flat = _without_template(header)
    if flat.startswith("enum") or flat.endswith("="):
        return _OTHER
    if "(" not in flat.split("=")[0] and (found := _TYPE.search(flat)):
        return "class", found[1]
    head = re.sub(
        r"\balignas\s*\([^)]*\)|\b__launch_bounds__\s*\([^)]*\)|\brequires\s*\([^)]*\)", "", flat
    )
    before = head.find("(")
    found = _NAME.search(head[: before + 1]) if before >= 0 else None
    if found is None or found[1].split("::")[-1] in _CONTROL:
        return _OTHER
    return "function", found[1]


def _without_template(header: str) -> str:
    if not header.startswith("template"):
        return header
    depth = 0
    for at, character in enumerate(header):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == ">" and depth == 0:
            return _without_template(header[at + 1 :].lstrip())
    return header
