"""What an artifact takes: weights, a session's caches, a call's activations; and what making it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from python.plan import plan as p

_ACTIVATION_BYTES = 4  # float32
# What the process itself takes beside weights: the interpreter, torch, ExecuTorch's compiler (420 MB
# resident), a vocabulary of 262,144 pieces, and what the allocator keeps of packed weights that are
# gone. 475 to 575 MB were seen, the most on a busy machine that compiled every module it imported.
_PROCESS_BYTES = 650_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightSize:
    """Bytes of one weight in the checkpoint, in the artifact, and as quantized integers between."""

    stored: int
    packed: int
    integers: int


def export_bytes(weights: Sequence[WeightSize]) -> int:
    """The most host memory that an export holds.

    The weight in hand is there as it is stored and as integers, or as it is stored and packed.
    Those that wait to be written are no more than fit
    beside it into the largest such sum (write_behind.py).
    """
    return _PROCESS_BYTES + max(
        weight.stored + max(weight.packed, weight.integers) for weight in weights
    )


def session_bytes(plan: p.Plan) -> int:
    """Keys and values of all caches of one session."""
    return sum(
        2 * cache.kv_heads * cache.capacity * cache.head_dim * cache.dtype.bytes
        for cache in plan.caches
    )


def activation_bytes(plan: p.Plan) -> int:
    """Bytes alive at once during a call of max_tokens, in float32, where values share memory."""
    last_use = {
        value: position
        for position, step in enumerate(plan.steps)
        for role in (p.Role.WRITES, p.Role.READS)
        for value in p.operands(step.operation, role)
    }
    alive: set[int] = set()
    peak = 0
    for position, step in enumerate(plan.steps):
        alive.update(p.operands(step.operation, p.Role.WRITES))
        peak = max(peak, sum(_value_bytes(plan, value) for value in alive))
        alive = {value for value in alive if last_use[value] > position}
    return peak


def _value_bytes(plan: p.Plan, index: int) -> int:
    value = plan.values[index]
    rows = 1 if value.rows is p.Rows.ONE else plan.max_tokens
    return rows * value.columns * _ACTIVATION_BYTES
