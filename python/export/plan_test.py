"""Plans go to bytes and back unchanged, and equal plans give equal bytes."""

import dataclasses

import pytest

from python.export import flatc
from python.export import plan as p
from python.export.fake_plan import fake_plan


@pytest.mark.parametrize("method", ["prefill", "score"])
def test_bytes_and_back(method: str) -> None:
    plan = fake_plan(method)
    assert p.from_bytes(p.to_bytes(plan)) == plan


def test_equal_plans_give_equal_bytes() -> None:
    assert p.to_bytes(fake_plan()) == p.to_bytes(fake_plan())


def test_bytes_carry_the_file_identifier() -> None:
    assert p.to_bytes(fake_plan())[4:8] == b"GPLN"


def test_floats_are_float32() -> None:
    embed = p.Embed(weight=0, scale=73.3212, out=0)
    assert embed.scale != 73.3212
    assert embed.scale == pytest.approx(73.3212, rel=1e-7)
    assert p.Embed(weight=0, scale=embed.scale, out=0) == embed


def test_operands_follow_the_schema() -> None:
    operation = p.RmsNorm(input=3, weight=1, width=4, epsilon=1e-6, scalar=2, out=5)
    assert list(p.operands(operation, p.Role.READS)) == [3]
    assert list(p.operands(operation, p.Role.WEIGHT)) == [1, 2]
    moved = p.map_operands(operation, {p.Role.READS: lambda i: i + 10, p.Role.WEIGHT: lambda i: -i})
    assert moved == dataclasses.replace(operation, input=13, weight=-1, scalar=-2)


def test_every_field_is_in_the_schema() -> None:
    document = p.to_json(fake_plan())
    document["steps"][0]["operation"]["colour"] = 1
    with pytest.raises(flatc.FlatcError, match="unknown field: colour"):
        flatc.json_to_bytes([p.SCHEMA], document)
