"""The plan of one method as frozen dataclasses: the Python mirror of cc/plan/plan.fbs.

What must stay true: names, types and order of the fields are those of the schema, where docs and
formulas stand; `metadata` says what an operand refers to, so that nothing else lists operands.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from python.console.errors import UserError
from python.pack.layouts import Layout as Layout
from python.pack.layouts import WeightShape

VERSION = 1
ABSENT = -1


class PlanError(UserError):
    """A plan that contradicts itself. One sentence that names the step or the table entry."""


class DType(enum.Enum):
    """Element type of a cache: its name in torch and on the command line, and its bytes."""

    F32 = ("float32", 4)
    BF16 = ("bfloat16", 2)  # of older plans: nothing writes it any more
    F16 = ("float16", 2)

    def __init__(self, text: str, size: int) -> None:
        self.text = text
        self.bytes = size


class ActivationPrecision(enum.Enum):
    """How a device that multiplies in float16 holds the inputs of products."""

    UNSTATED = "as the caches say: FLOAT16_PAIRS where all are F32, else FLOAT16"
    FLOAT16 = "float16"
    FLOAT16_PAIRS = "float16_pairs"


class Rows(enum.Enum):
    """Rows of a value: one for each token of the call, or the last token's alone."""

    TOKENS = "TOKENS"
    ONE = "ONE"


def round_to_float32(value: float) -> float:
    """The float32 nearest to `value`: what the schema's `float` holds."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


class _Record:
    """Base of every table: floats are kept as the float32 that the bytes will hold."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, float):
                object.__setattr__(self, field.name, round_to_float32(value))


class Role(enum.Enum):
    """What an operand of an operation refers to, and whether the operation reads or writes it."""

    READS = "a value that is read"
    WRITES = "a value that is written"
    WEIGHT = "a weight"
    CACHE = "a cache"


def _operand(role: Role, *, json: str = "", absent: bool = False) -> Any:
    """An index into a table. `json`: its name in the schema where that is a Python keyword."""
    metadata: dict[str, Any] = {"role": role}
    if json:
        metadata["json"] = json
    if absent:
        return dataclasses.field(default=ABSENT, metadata=metadata | {"absent": True})
    return dataclasses.field(metadata=metadata)


def _input() -> Any:
    return _operand(Role.READS, json="in")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weight(_Record):
    """A matrix whose bytes lie in the .ptd."""

    name: str
    data_key: str
    layout: Layout
    rows: int
    columns: int
    group: int
    bytes: int

    @property
    def shape(self) -> WeightShape:
        """What the layout, the sizes and the group say together."""
        return WeightShape(
            layout=self.layout, rows=self.rows, columns=self.columns, group=self.group
        )

    @classmethod
    def of(cls, name: str, shape: WeightShape) -> Weight:
        """A weight with the bytes of its shape. Raises UserError where the layout cannot hold it."""
        return cls(
            name=name,
            data_key=name,
            layout=shape.layout,
            rows=shape.rows,
            columns=shape.columns,
            group=shape.group,
            bytes=shape.bytes,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cache(_Record):
    """Keys and values of one layer; the slot of position p is p mod capacity."""

    name: str
    kv_heads: int
    head_dim: int
    capacity: int
    window: int
    dtype: DType


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value(_Record):
    """Activations, written by one step: a row per token, or the last token's alone."""

    name: str
    columns: int
    rows: Rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embed(_Record):
    """out[t] = scale * weight[tokens[t]]."""

    weight: int = _operand(Role.WEIGHT)
    scale: float = 1.0
    out: int = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RmsNorm(_Record):
    """out = (add + in / sqrt(mean(in^2) + epsilon) * weight) * scalar, by `width` columns."""

    input: int = _input()
    weight: int = _operand(Role.WEIGHT, absent=True)
    width: int
    epsilon: float
    add: int = _operand(Role.READS, absent=True)
    scalar: int = _operand(Role.WEIGHT, absent=True)
    out: int = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(_Record):
    """outs[i] = in * transpose(weights[i])."""

    input: int = _input()
    weights: tuple[int, ...] = _operand(Role.WEIGHT)
    outs: tuple[int, ...] = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareAttention(_Record):
    """Norms and rotates q and k per head, norms v; writes k and v to the cache, q to out."""

    q: int = _operand(Role.READS)
    k: int = _operand(Role.READS)
    v: int = _operand(Role.READS, absent=True)
    q_norm: int = _operand(Role.WEIGHT)
    k_norm: int = _operand(Role.WEIGHT)
    normalize_v: bool
    epsilon: float
    frequencies: int = _operand(Role.WEIGHT)
    heads: int
    cache: int = _operand(Role.CACHE)
    out: int = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention(_Record):
    """out = softmax(scale * q . keys) values, over the window of the cache."""

    q: int = _operand(Role.READS)
    cache: int = _operand(Role.CACHE)
    heads: int
    scale: float
    out: int = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatedGelu(_Record):
    """out = gelu_tanh(gate) * up."""

    gate: int = _operand(Role.READS)
    up: int = _operand(Role.READS)
    out: int = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Add(_Record):
    """out = a + b."""

    a: int = _operand(Role.READS)
    b: int = _operand(Role.READS)
    out: int = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectLast(_Record):
    """The last token's row; what follows is skipped when the call's emit is 0."""

    input: int = _input()
    out: int = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Softcap(_Record):
    """out = cap * tanh(in / cap)."""

    input: int = _input()
    cap: float
    out: int = _operand(Role.WRITES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(_Record):
    """Draws the token."""

    logits: int = _operand(Role.READS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score(_Record):
    """Log-probabilities of the targets, and the `top` most likely ids."""

    input: int = _input()
    weight: int = _operand(Role.WEIGHT)
    softcap: float
    top: int


Operation = (
    Embed
    | RmsNorm
    | Linear
    | PrepareAttention
    | Attention
    | GatedGelu
    | Add
    | SelectLast
    | Softcap
    | Sample
    | Score
)
OPERATIONS: Mapping[str, type] = {cls.__name__: cls for cls in typing.get_args(Operation)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step(_Record):
    """A named operation."""

    name: str
    operation: Operation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan(_Record):
    """What one method does."""

    version: int = VERSION
    model: str
    method: str
    vocab_size: int
    max_tokens: int
    max_context: int
    weights: tuple[Weight, ...]
    caches: tuple[Cache, ...]
    values: tuple[Value, ...]
    steps: tuple[Step, ...]
    activations: ActivationPrecision = ActivationPrecision.UNSTATED

    METHODS: ClassVar[tuple[str, ...]] = ("decode", "prefill", "score")


def precision_of(dtypes: Iterable[DType]) -> ActivationPrecision:
    """What a plan means that states no precision, given its caches' types."""
    if all(dtype is DType.F32 for dtype in dtypes):
        return ActivationPrecision.FLOAT16_PAIRS
    return ActivationPrecision.FLOAT16


def operands(operation: Operation, role: Role) -> Iterator[int]:
    """The indices that an operation has in a role, absent ones left out, in the schema's order."""
    for field in dataclasses.fields(operation):
        if field.metadata.get("role") is not role:
            continue
        value = getattr(operation, field.name)
        for index in value if isinstance(value, tuple) else (value,):
            if index != ABSENT:
                yield index


def required_operands(operation: Operation) -> Iterator[tuple[str, int]]:
    """The name and index of each operand that an operation cannot do without."""
    for field in dataclasses.fields(operation):
        if "role" not in field.metadata or "absent" in field.metadata:
            continue
        value = getattr(operation, field.name)
        for index in value if isinstance(value, tuple) else (value,):
            yield field.metadata.get("json", field.name), index


def map_operands(operation: Operation, table: Mapping[Role, Callable[[int], int]]) -> Operation:
    """The operation with each present index of a role replaced by what its function gives."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(operation):
        renumber = table.get(field.metadata.get("role"))  # type: ignore[arg-type]
        if renumber is None:
            continue
        value = getattr(operation, field.name)
        if isinstance(value, tuple):
            changes[field.name] = tuple(renumber(index) for index in value)
        elif value != ABSENT:
            changes[field.name] = renumber(value)
    return dataclasses.replace(operation, **changes)
