"""What an export would make and need: every weight, the totals, and whether it fits this machine.

What must stay true: nothing is written, no weight is read, and the numbers are those of the export
that would follow.
"""

from __future__ import annotations

from pathlib import Path

import torch

from python.console import fit, machine
from python.console.listing import Listing, Table, bits_per_weight
from python.export import export, memory_estimate

_COLUMNS = ("weight", "shape", "stored", "layout", "exact", "group", "bits_per_weight", "bytes")


def listing(prepared: export.PreparedExport, checkpoint: Path, output: Path) -> Listing:
    """The whole dry run. `problem` says why the export itself would fail here."""
    needs = export_needs(prepared, output)
    return Listing(
        kind="dry run of an export",
        path=str(checkpoint),
        facts=facts(prepared),
        tables={
            "weights": _weights(prepared),
            "does it fit": fit.table((*needs, *run_needs(prepared))),
        },
        problem=fit.problem(needs),
    )


def facts(prepared: export.PreparedExport) -> dict[str, object]:
    """What the artifact takes."""
    total = export.sizes_of(prepared)
    elements = sum(shape.rows * shape.columns for shape in prepared.shapes.values())
    limits = prepared.prefill
    return {
        "model": prepared.config.name,
        "recipe": prepared.recipe.name,
        "weights": len(prepared.shapes),
        "weight_bytes": total.weights,
        "bits_per_weight": bits_per_weight(total.weights, elements),
        "file_bytes": total.file,
        "max_seq_len": limits.max_context,
        "session_bytes": total.session,
        "max_prefill_chunk": limits.max_tokens,
        "activation_bytes": total.activations,
    }


def export_needs(prepared: export.PreparedExport, output: Path) -> tuple[fit.Need, ...]:
    """What the export itself needs of this machine."""
    disk = fit.Need(
        what=f"disk at {output}",
        needed=export.disk_bytes(prepared),
        available=machine.free_disk(output),
        remedy="make room, or name another --output",
    )
    memory = fit.Need(
        what="memory to export",
        needed=memory_estimate.export_bytes(prepared.weight_sizes),
        available=machine.available_memory(),
        remedy="end other programs, or export on a larger machine: the artifact is the same",
    )
    return disk, memory


def run_needs(prepared: export.PreparedExport) -> tuple[fit.Need, ...]:
    """What the runner needs for one session, on this machine's CPU and on its GPU if it has one."""
    total = export.sizes_of(prepared)
    needed = total.weights + total.session + total.activations
    remedy = "lower --max_seq_len or --max_prefill_chunk, or use a recipe of fewer bits"
    needs = [
        fit.Need(
            what="memory to run on the CPU",
            needed=needed,
            available=machine.available_memory(),
            remedy=remedy,
        )
    ]
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        needs.append(
            fit.Need(what="GPU memory to run", needed=needed, available=free, remedy=remedy)
        )
    return tuple(needs)


def _weights(prepared: export.PreparedExport) -> Table:
    rows = tuple(
        (name, f"{shape.rows} x {shape.columns}", prepared.table.encoding(name), shape.layout.name,
         _exact(prepared, name), shape.group or None, round(shape.bits_per_weight, 4), shape.bytes)
        for name, shape in prepared.shapes.items()
    )  # fmt: skip
    return Table(columns=_COLUMNS, rows=rows)


def _exact(prepared: export.PreparedExport, name: str) -> str:
    """Whether the stored values survive: a recipe quantizes, a layout may round."""
    if not prepared.table.is_kept(name):
        return "by recipe"
    return "yes" if prepared.table.is_exact(name) else "rounded"
