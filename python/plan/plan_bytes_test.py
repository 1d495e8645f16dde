"""Plans go to bytes and back unchanged, and equal plans give equal bytes."""

import pytest

from python.plan import flatc, plan_bytes
from python.plan.testing.fake_plan import fake_plan


@pytest.mark.parametrize("method", ["prefill", "score"])
def test_bytes_and_back(method: str) -> None:
    plan = fake_plan(method)
    assert plan_bytes.from_bytes(plan_bytes.to_bytes(plan)) == plan


def test_equal_plans_give_equal_bytes() -> None:
    assert plan_bytes.to_bytes(fake_plan()) == plan_bytes.to_bytes(fake_plan())


def test_bytes_carry_the_file_identifier() -> None:
    assert plan_bytes.to_bytes(fake_plan())[4:8] == b"GPLN"


def test_every_field_is_in_the_schema() -> None:
    document = plan_bytes.to_json(fake_plan())
    document["steps"][0]["operation"]["colour"] = 1
    with pytest.raises(flatc.FlatcError, match="unknown field: colour"):
        flatc.json_to_bytes([plan_bytes.SCHEMA], document)
