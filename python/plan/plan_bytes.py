"""Plans to FlatBuffers bytes and back, by the schema cc/plan/plan.fbs.

What must stay true: only plans that passed plan_check become bytes,
and equal plans give equal bytes.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import pathlib
import typing
from typing import Any

from python.plan import flatc, plan_check
from python.plan.plan import OPERATIONS, Plan

SCHEMA = pathlib.Path(__file__).parents[2] / "cc" / "plan" / "plan.fbs"


def to_bytes(plan: Plan) -> bytes:
    """FlatBuffers bytes of a plan, after validating it.

    Raises:
      PlanError: the plan contradicts itself.
    """
    plan_check.validate(plan)
    return flatc.json_to_bytes([SCHEMA], to_json(plan))


def from_bytes(data: bytes) -> Plan:
    """The plan in bytes that `to_bytes` wrote (bytes from elsewhere: see flatc.bytes_to_json)."""
    return _record_from_json(Plan, flatc.bytes_to_json([SCHEMA], data))


def to_json(record: Any) -> Any:
    """The JSON document of a plan (or of a part of it), as the schema names its fields."""
    if isinstance(record, enum.Enum):
        return record.name
    if isinstance(record, tuple):
        return [to_json(item) for item in record]
    if not dataclasses.is_dataclass(record):
        return record
    document: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name == "operation":
            document["operation_type"] = type(value).__name__
        document[field.metadata.get("json", field.name)] = to_json(value)
    return document


def _record_from_json(cls: Any, document: dict[str, Any]) -> Any:
    types = _types(cls)
    arguments = {}
    for field in dataclasses.fields(cls):
        value = document[field.metadata.get("json", field.name)]
        if field.name == "operation":
            operation = OPERATIONS[document["operation_type"]]
            arguments[field.name] = _record_from_json(operation, value)
        else:
            arguments[field.name] = _value_from_json(types[field.name], value)
    return cls(**arguments)


@functools.cache
def _types(cls: Any) -> dict[str, Any]:
    """The types of a record's fields; Python compiles their texts anew each time it is asked."""
    return typing.get_type_hints(cls)


def _value_from_json(type_: Any, value: Any) -> Any:
    if typing.get_origin(type_) is tuple:
        return tuple(_value_from_json(typing.get_args(type_)[0], item) for item in value)
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return type_[value]
    if dataclasses.is_dataclass(type_):
        return _record_from_json(type_, value)
    return value
