"""The dataclasses: floats as the schema holds them, operands by role."""

import dataclasses

import pytest

from python.plan import plan as p


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
