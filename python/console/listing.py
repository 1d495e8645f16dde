"""What an inspection or a dry run finds: facts and tables, as text for people or as JSON for programs.

What must stay true: both forms hold the same; the JSON of a table is one object a row.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tabulate

from python.console.sizes import format_bytes

BYTES = "bytes"  # a column or fact of this name holds bytes, which people read as 1.23 MB


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of plain values (text, numbers, None) under named columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One thing looked at. `kind` says what it is; `problem` why our programs would refuse it."""

    kind: str
    path: str
    facts: Mapping[str, Any]
    tables: Mapping[str, Table] = field(default_factory=dict)
    problem: str | None = None


def bits_per_weight(size: int, elements: int) -> float:
    """`size` bytes for `elements` numbers; four decimals."""
    return round(size * 8 / max(1, elements), 4)


def totals_by(column: str, things: Iterable[tuple[str, int, int]]) -> Table:
    """A row for each type among (type, numbers, bytes) triples."""
    groups: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for kind, elements, size in things:
        groups[kind].append((elements, size))
    rows = []
    for kind, members in sorted(groups.items()):
        elements, size = (sum(values) for values in zip(*members, strict=True))
        rows.append((kind, len(members), elements, bits_per_weight(size, elements), size))
    return Table(
        columns=(column, "weights", "parameters", "bits_per_weight", "bytes"), rows=tuple(rows)
    )


def to_json(listing: Listing) -> str:
    """One JSON document, two spaces, keys in the listing's order."""
    document: dict[str, Any] = {
        "kind": listing.kind,
        "path": listing.path,
        "problem": listing.problem,
        **listing.facts,
    }
    for name, table in listing.tables.items():
        document[name] = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return json.dumps(document, indent=2, allow_nan=False, default=str)


def to_text(listing: Listing) -> str:
    """Facts, then one aligned block a table."""
    facts = [("kind", listing.kind)]
    facts += [(name, _cell(name, value)) for name, value in listing.facts.items()]
    if listing.problem is not None:
        facts.append(("problem", listing.problem))
    parts = [aligned(facts)]
    for name, table in listing.tables.items():
        rows = [
            tuple(_cell(*pair) for pair in zip(table.columns, row, strict=True))
            for row in table.rows
        ]
        parts.append(f"{name}\n{aligned(rows, table.columns)}")
    return f"{listing.path}\n" + "\n\n".join(parts)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and name.endswith(BYTES):
        return format_bytes(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(key, item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell("", item) for item in value)
    return " ".join(str(value).split())


def aligned(rows: Sequence[tuple[str, ...]], columns: tuple[str, ...] = ()) -> str:
    """Rows as columns of equal width, under their names."""
    text = tabulate.tabulate(rows, headers=columns, tablefmt="plain", disable_numparse=True)
    return "\n".join(line.rstrip() for line in text.splitlines())
