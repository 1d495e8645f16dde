"""Reads the methods and plans of a `.pte` without trusting it and without running any of it.

The accessors that flatc makes check nothing, so every failure of theirs becomes one FormatError
here. What must stay true: the work is bounded by the file's size, because a hostile file may point
to the same table from many places.
"""

import dataclasses
import enum
import struct
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cc.plan.plan_generated as plan_generated
import python.inspect.program_generated as program_generated

from python.checkpoint.byte_source import ByteSource
from python.console.errors import FormatError, UserError
from python.plan import plan_check
from python.plan.plan import OPERATIONS, Plan

DELEGATE = "GemmaDelegate"
_MAX_BYTES = 1 << 30
_MAX_ITEMS = 1 << 20
_HEADER = struct.Struct("<4sIQQQ")  # magic, bytes of it, program size, segments' start, their size
_HEADER_OFFSET = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A method of a program.

    plan: None unless it is one call of our delegate. constants: what it returns where it runs
    nothing, else empty.
    """

    name: str
    delegates: tuple[str, ...]
    values: int
    plan: Plan | None
    constants: tuple[int, ...] = ()


def read_program(path: Path) -> tuple[Method, ...]:
    """The methods in the file's order. Raises FormatError."""
    source = ByteSource(path)
    try:
        if source.size > _MAX_BYTES:
            raise FormatError(path, f"has {source.size} bytes, at most {_MAX_BYTES} are read")
        data = source.read(0, source.size)
    finally:
        source.close()
    if data[4:6] != b"ET":
        raise FormatError(path, "is not an ExecuTorch program: bytes 4 and 5 are not 'ET'")
    reader = _Reader(path, data)
    with reader.errors("the program"):
        program = program_generated.Program.GetRootAs(data, 0)
        plans = reader.items(program, "ExecutionPlan")
        return tuple(_method(reader, program, plan) for plan in plans)


def _method(reader: "_Reader", program: Any, plan: Any) -> Method:
    delegates = list(reader.items(plan, "Delegates"))
    names = tuple(delegate.Id().decode() for delegate in delegates)
    name = plan.Name().decode()
    parsed = None
    if names == (DELEGATE,):
        with reader.errors(f"the plan of method {name!r:.40}"):
            parsed = _plan(reader, _payload(reader, program, delegates[0].Processed()))
    return Method(
        name=name,
        delegates=names,
        values=plan.ValuesLength(),
        plan=parsed,
        constants=() if names else tuple(_constants(reader, plan)),
    )


def _constants(reader: "_Reader", plan: Any) -> Iterator[int]:
    """The integers and booleans among a method's values."""
    numbers = vars(program_generated.KernelTypes)
    for value in reader.items(plan, "Values"):
        for kind, accessor in (("Int", "IntVal"), ("Bool", "BoolVal")):
            if value.ValType() == numbers[kind]:
                table = getattr(program_generated, kind)()
                table.Init(value.Val().Bytes, value.Val().Pos)
                yield getattr(table, accessor)()


def _payload(reader: "_Reader", program: Any, place: Any) -> bytes:
    """The delegate's bytes: inside the program, or in a segment after it."""
    if place.Location() == program_generated.DataLocation.INLINE:
        return bytes(program.BackendDelegateData(place.Index()).DataAsNumpy())
    segment = program.Segments(place.Index())
    magic, _, _, base, _ = _HEADER.unpack_from(reader.data, _HEADER_OFFSET)
    if not magic.startswith(b"eh"):
        raise ValueError("no extended header")
    start = base + segment.Offset()
    payload = reader.data[start : start + segment.Size()]
    if len(payload) != segment.Size():
        raise ValueError("the segment ends after the file")
    return payload


def _plan(reader: "_Reader", payload: bytes) -> Plan:
    if not plan_generated.Plan.PlanBufferHasIdentifier(payload, 0):
        raise ValueError("no plan")
    plan = _record(reader, Plan, plan_generated.Plan.GetRootAs(payload, 0))
    plan_check.validate(plan)
    return plan


def _record(reader: "_Reader", cls: Any, table: Any) -> Any:
    """A table as the dataclass that mirrors it (python/plan/plan.py)."""
    hints = typing.get_type_hints(cls)
    arguments = {}
    for field in dataclasses.fields(cls):
        name = field.metadata.get("json", field.name)
        accessor = "".join(part.capitalize() for part in name.split("_"))
        hint = hints[field.name]
        if isinstance(hint, types.UnionType):
            arguments[field.name] = _operation(reader, table)
        elif typing.get_origin(hint) is tuple:
            item = typing.get_args(hint)[0]
            values = reader.items(table, accessor)
            arguments[field.name] = tuple(_value(reader, item, value) for value in values)
        else:
            arguments[field.name] = _value(reader, hint, _call(table, accessor))
    return cls(**arguments)


def _value(reader: "_Reader", hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _record(reader, hint, value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return list(hint)[value]
    if hint is str:
        return value.decode()
    return hint(value)


def _operation(reader: "_Reader", step: Any) -> Any:
    numbers = vars(plan_generated.Operation)
    kind = next(name for name in OPERATIONS if numbers[name] == step.OperationType())
    table = getattr(plan_generated, kind)()
    table.Init(step.Operation().Bytes, step.Operation().Pos)
    return _record(reader, OPERATIONS[kind], table)


def _call(table: Any, accessor: str, *arguments: Any) -> Any:
    # Names that are Python's keywords get an underscore from some versions of flatc.
    method = getattr(table, accessor, None) or getattr(table, accessor + "_")
    return method(*arguments)


class _Reader:
    """One file's bytes, and how many items of it were looked at."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.data = data
        self._left = min(_MAX_ITEMS, 1024 + len(data))

    def items(self, table: Any, accessor: str) -> Iterator[Any]:
        """The items of a vector, as long as the file can have so many."""
        for index in range(_call(table, accessor + "Length")):
            self._left -= 1
            if self._left < 0:
                raise ValueError("more items than bytes")
            yield _call(table, accessor, index)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turns what an accessor raises on damaged bytes into one sentence."""
        try:
            yield
        except FormatError:
            raise
        except UserError as error:
            raise FormatError(self.path, f"{what} is refused: {error}") from None
        except (
            struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError,
            StopIteration, RuntimeError,
        ) as error:  # fmt: skip
            raise FormatError(
                self.path, f"{what} is damaged ({type(error).__name__}); export it again"
            ) from None
