"""The largest numbers that a plan may carry: cc/plan/limits.json, which the C++ checker reads too.

They keep every product of two of them within 64 bits, and what they allow the CPU's kernels can do.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

_FILE = pathlib.Path(__file__).parents[2] / "cc" / "plan" / "limits.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanLimits:
    """Each is the most that is allowed."""

    payload_bytes: int
    name_bytes: int  # of each name
    weights: int  # entries of the tables
    caches: int
    values: int
    steps: int
    linears: int  # projections of one Linear step
    vocab_size: int
    columns: int  # of a value
    max_tokens: int
    max_context: int  # and of a cache's capacity and window
    heads: int
    head_dim: int
    score_top: int


LIMITS = PlanLimits(**json.loads(_FILE.read_text()))
