"""The `.pte`: three methods, each one delegate call with its plan, and the documented tensors."""

import itertools
from pathlib import Path

import pytest
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.exir.scalar_type import ScalarType
from executorch.exir.schema import ExecutionPlan, Tensor, TensorShapeDynamism
from executorch.runtime import Runtime

from python.export import constant_methods
from python.export.lower import lower
from python.model.named_configs import gemma4_31b
from python.plan import plan as p
from python.plan import plan_bytes
from python.plan.testing.fake_plan import fake_plan

CHUNK = 8
_CONSTANTS = constant_methods.constant_methods(
    gemma4_31b(), fake_plan("prefill", max_tokens=CHUNK), 2, (1, 106)
)


def _plans() -> list[p.Plan]:
    return [fake_plan(m, max_tokens=1 if m == "decode" else CHUNK) for m in p.Plan.METHODS]


@pytest.fixture(scope="module")
def pte() -> bytes:
    return lower(_plans(), _CONSTANTS)


def _tensors(method: ExecutionPlan, indices: list[int]) -> list[tuple[ScalarType, list[int], bool]]:
    tensors = [method.values[index].val for index in indices]
    assert all(isinstance(tensor, Tensor) for tensor in tensors)
    return [
        (t.scalar_type, list(t.sizes), t.shape_dynamism == TensorShapeDynamism.DYNAMIC_BOUND)
        for t in tensors
    ]


def test_payload_is_the_plan(pte: bytes) -> None:
    program = deserialize_pte_binary(pte).program
    by_name = {method.name: method for method in program.execution_plan}
    assert sorted(by_name) == sorted((*p.Plan.METHODS, *_CONSTANTS))
    for plan in _plans():
        (delegate,) = by_name[plan.method].delegates
        assert delegate.id == "GemmaDelegate"
        assert delegate.compile_specs == []
        payload = program.backend_delegate_data[delegate.processed.index].data
        assert plan_bytes.from_bytes(bytes(payload)) == plan


def test_signatures_are_the_documented_ones(pte: bytes) -> None:
    methods = {m.name: m for m in deserialize_pte_binary(pte).program.execution_plan}
    long, real = ScalarType.LONG, ScalarType.FLOAT
    rest = [(long, [1], False), (long, [1], False), (real, [4], False), (long, [1], False)]
    token = [(long, [1, 1], False)]
    prefill, decode, score = methods["prefill"], methods["decode"], methods["score"]
    assert _tensors(prefill, prefill.inputs) == [(long, [1, CHUNK], True), *rest]
    assert _tensors(prefill, prefill.outputs) == token
    assert _tensors(decode, decode.inputs) == [(long, [1, 1], False), *rest]
    assert _tensors(decode, decode.outputs) == token
    tokens = (long, [1, CHUNK], True)
    assert _tensors(score, score.inputs) == [tokens, (long, [1], False), tokens]
    assert _tensors(score, score.outputs) == [
        (real, [1, CHUNK], True), (long, [1, CHUNK, 5], True), (real, [1, CHUNK, 5], True),
    ]  # fmt: skip


def test_inputs_and_outputs_do_not_share_memory(pte: bytes) -> None:
    for method in deserialize_pte_binary(pte).program.execution_plan:
        if method.name in _CONSTANTS:
            continue
        tensors = [method.values[index].val for index in (*method.inputs, *method.outputs)]
        sizes = {ScalarType.LONG: 8, ScalarType.FLOAT: 4}
        spans = []
        for tensor in tensors:
            count = 1
            for size in tensor.sizes:
                count *= size
            info = tensor.allocation_info
            start = info.memory_offset_low + (info.memory_offset_high << 32)
            spans.append((start, start + count * sizes[tensor.scalar_type]))
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_refuses_plans_that_disagree() -> None:
    with pytest.raises(p.PlanError, match="differs from the one in another method"):
        lower([fake_plan(), fake_plan("decode", max_tokens=1, capacity=12)], {})


def test_executorchs_own_runtime_reads_the_constants(pte: bytes, tmp_path: Path) -> None:
    """Its Python module opens the file and runs the constant methods, without our delegate."""
    (tmp_path / "model.pte").write_bytes(pte)
    program = Runtime.get().load_program(tmp_path / "model.pte")
    assert program.method_names == {*p.Plan.METHODS, *constant_methods.NAMES}
    for name, value in _CONSTANTS.items():
        method = program.load_method(name)
        assert method is not None
        returned = list(method.execute([]))
        assert returned == (value if isinstance(value, list) else [value]), name
        assert all(type(found) is type(returned[0]) for found in returned)


def test_ids_that_are_not_known_have_no_method() -> None:
    constants = constant_methods.constant_methods(gemma4_31b(), _plans()[1], None, ())
    assert set(constant_methods.NAMES) - set(constants) == {"get_bos_id", "get_eos_ids"}
