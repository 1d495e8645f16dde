"""Size of a packed weight, from the table of layouts in docs/formats.md."""

from __future__ import annotations

from python.export.plan import PlanError

PLANE_ALIGNMENT = 128


def weight_bytes(name: str, layout: str, rows: int, columns: int, group: int) -> int:
    """Bytes of a weight's blob: its planes, each begun at a multiple of 128."""
    if rows <= 0 or columns <= 0:
        raise PlanError(f"weight {name}: {rows} x {columns} is empty")
    end = 0
    for plane in _planes(name, layout, rows, columns, group):
        end = -(-end // PLANE_ALIGNMENT) * PLANE_ALIGNMENT + plane
    return end


def _planes(name: str, layout: str, rows: int, columns: int, group: int) -> list[int]:
    elements = rows * columns
    if layout in ("F32", "F16", "BF16"):
        return [elements * (4 if layout == "F32" else 2)]
    block = 256 if layout.endswith("_K") else 32
    if columns % block:
        raise PlanError(f"weight {name}: {layout} has blocks of {block}, which do not divide {columns} columns")
    if layout == "Q6_K":
        return [elements // 2, elements // 4, elements // 16, elements // 256 * 2]
    if layout in ("Q4_K", "Q5_K"):
        bits = [elements // 8] if layout == "Q5_K" else []
        return [elements // 2, *bits, elements // 256 * 12, elements // 256 * 4]
    if group <= 0 or columns % group or group % 32:
        raise PlanError(f"weight {name}: group {group} does not divide {columns} (use a multiple of 32 that does)")
    scale = rows * 4 if group == columns else elements // group * 2
    if layout == "INT8":
        return [elements, scale]
    values = [elements // 2] + ([elements // 8] if layout.startswith("INT5") else [])
    return values + [scale] * (2 if layout.endswith("_MIN") else 1)
