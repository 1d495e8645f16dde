"""The shape of a weight is known before it is read, and what is made has that shape."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from python.checkpoint import ggml_types
from python.checkpoint.quantized import QuantizedTensor, to_torchao
from python.checkpoint.tensor import (
    BlockTensor,
    DenseTensor,
    StoredTensor,
    TensorInfo,
    TorchaoTensor,
)
from python.checkpoint.testing.fake_checkpoint import FakeCheckpoint
from python.console.errors import UserError
from python.export.build_plan import build_plan
from python.export.trace import Limits
from python.export.weight_table import WeightTable, with_shapes
from python.model.named_configs import tiny_gemma4
from python.model.weight_names import expected_weights
from python.pack.layouts import Layout
from python.plan import plan_bytes
from python.quant.methods.hqq import quantize_hqq_scale
from python.quant.methods.min_max import quantize_min_max
from python.quant.quantize import prepare
from python.quant.recipe import QuantRecipe, from_json, recipe

CONFIG = tiny_gemma4(num_layers=1)
LIMITS = Limits(max_context=32, max_tokens=1, cache_dtype=torch.float32)
PLAN = build_plan(CONFIG, LIMITS, "decode")
UP = "layers.0.mlp.up_proj.weight"


def _tensors() -> dict[str, DenseTensor | BlockTensor]:
    shapes = expected_weights(CONFIG)
    return {name: DenseTensor(values=torch.ones(shape)) for name, shape in shapes.items()}


def _table(tensors: dict[str, DenseTensor | BlockTensor], wanted: QuantRecipe) -> WeightTable:
    return WeightTable(FakeCheckpoint(CONFIG, tensors), CONFIG, wanted)


def _with_up(tensor: DenseTensor | BlockTensor) -> dict[str, DenseTensor | BlockTensor]:
    return {**_tensors(), UP: tensor}


def _blocks(kind: ggml_types.GgmlType) -> BlockTensor:
    rows, columns = expected_weights(CONFIG)[UP]
    width = columns // kind.columns * kind.bytes
    return BlockTensor(type=kind, columns=columns, blocks=np.zeros((rows, width), np.uint8))


@pytest.mark.parametrize(
    ("tensor", "layout", "group"),
    [
        (DenseTensor(values=torch.ones(512, 256)), Layout.F32, 0),
        (DenseTensor(values=torch.ones(512, 256, dtype=torch.float16)), Layout.F16, 0),
        (DenseTensor(values=torch.ones(512, 256, dtype=torch.bfloat16)), Layout.BF16, 0),
        (_blocks(ggml_types.Q4_0), Layout.INT4, 32),
        (_blocks(ggml_types.Q5_0), Layout.INT5, 32),
        (_blocks(ggml_types.Q8_0), Layout.INT8, 32),
        (_blocks(ggml_types.Q4_K), Layout.Q4_K, 0),
        (_blocks(ggml_types.Q6_K), Layout.Q6_K, 0),
    ],
)
def test_what_is_stored_is_kept(
    tensor: DenseTensor | BlockTensor, layout: Layout, group: int
) -> None:
    table = _table(_with_up(tensor), recipe("none", 1))
    shape = table.shapes(PLAN.weights)[UP]
    assert (shape.layout, shape.group, shape.rows, shape.columns) == (layout, group, 512, 256)
    assert table.make(UP, shape).data.nbytes == shape.bytes


def test_a_type_without_a_layout_is_rounded_only_where_that_is_allowed() -> None:
    blocks = _blocks(ggml_types.Q2_K)
    blocks.blocks[:, 16:32] = 0x1B  # levels 0 to 3
    blocks.blocks[:, :16] = 0x37  # scales and mins of 16 columns
    blocks.blocks[:, 80:84] = np.frombuffer(np.array([0.5, 0.25], "<f2").tobytes(), np.uint8)
    checkpoint = FakeCheckpoint(CONFIG, _with_up(blocks))
    with pytest.raises(
        UserError,
        match=rf"^{UP}: no layout holds Q2_K exactly, which 1 of \d+ weights are stored as "
        r"\(--allow_lossy rounds them to INT8 and says what that cost\)$",
    ):
        WeightTable(checkpoint, CONFIG, recipe("none", 1)).shapes(PLAN.weights)
    table = WeightTable(checkpoint, CONFIG, recipe("none", 1), allow_lossy=True)
    shape = table.shapes(PLAN.weights)[UP]
    assert not table.is_exact(UP) and table.losses == {}
    packed = table.make(UP, shape)
    assert table.losses == {UP: packed.loss} and 0 < packed.loss < 0.01
    # A recipe that quantizes it is asked to change it.
    quantized = WeightTable(checkpoint, CONFIG, recipe("default", 1))
    quantized.make(UP, quantized.shapes(PLAN.weights)[UP])
    assert quantized.losses == {}


@pytest.mark.parametrize("name", ["default", "sensitive", "qat"])
def test_every_recipe_keeps_its_word(name: str) -> None:
    table = _table(_tensors(), recipe(name, 1))
    for weight, shape in table.shapes(PLAN.weights).items():
        assert table.make(weight, shape).data.nbytes == shape.bytes
    plan = with_shapes(PLAN, table.shapes(PLAN.weights))
    assert plan_bytes.from_bytes(plan_bytes.to_bytes(plan)) == plan


def test_rope_tables_are_computed() -> None:
    table = _table(_tensors(), recipe("none", 1))
    shapes = table.shapes(PLAN.weights)
    made = table.make("rope.full.frequencies", shapes["rope.full.frequencies"])
    values = made.plane("values")
    assert values.shape == (1, 64)
    assert values[0, 0] == 1.0
    assert values[0, 1] == pytest.approx(1e6 ** (-2 / 128))
    assert (values[0, 16:] == 0.0).all()  # a quarter of the pairs turn
    assert table.encoding("rope.full.frequencies") == "computed"


class _TorchaoCheckpoint(FakeCheckpoint):
    """Gives one weight as a torchao tensor."""

    def __init__(self, torchao: TorchaoTensor) -> None:
        self._torchao = torchao
        self.reads: list[str] = []
        super().__init__(CONFIG, _tensors())

    def describe(self, name: str) -> TensorInfo:
        info = super().describe(name)
        if name != UP:
            return info
        return dataclasses.replace(info, encoding=self._torchao.class_name)

    def read(self, name: str) -> StoredTensor:
        self.reads.append(name)
        return self._torchao if name == UP else super().read(name)

    def read_part(self, name: str, part: str) -> torch.Tensor | None:
        self.reads.append(f"{name}:{part}")
        return self._torchao.parts.get(part)


@pytest.mark.parametrize(
    ("bits", "group", "offset", "layout"),
    [
        (4, 32, None, Layout.INT4),
        (4, 64, 0.5, Layout.INT4_MIN),
        (8, 256, None, Layout.INT8),
    ],
)
def test_torchao_tensors(bits: int, group: int, offset: float | None, layout: Layout) -> None:
    dtype = torch.float32 if group == 256 else torch.float16
    scale = torch.full((512, 256 // group), 0.25, dtype=dtype)
    tensor = QuantizedTensor(
        bits=bits,
        group=group,
        q=torch.ones(512, 256, dtype=torch.int8),
        scale=scale,
        offset=None if offset is None else torch.full_like(scale, offset),
    )
    checkpoint = _TorchaoCheckpoint(to_torchao(tensor))
    table = WeightTable(checkpoint, CONFIG, recipe("none", 1))
    shape = table.shapes(PLAN.weights)[UP]
    assert (shape.layout, shape.group) == (layout, group)
    assert checkpoint.reads == [f"{UP}:zero_point"]  # a small part of the tensor
    assert table.make(UP, shape).shape == shape


def test_a_torchao_tensor_without_zero_points_is_refused() -> None:
    whole = to_torchao(quantize_min_max(torch.ones(512, 256), bits=4, group=32, symmetric=True))
    parts = {name: part for name, part in whole.parts.items() if name != "zero_point"}
    table = WeightTable(
        _TorchaoCheckpoint(dataclasses.replace(whole, parts=parts)), CONFIG, recipe("none", 1)
    )
    with pytest.raises(UserError, match=f"^{UP}: zero_point of the Int4Tensor is missing"):
        table.shapes(PLAN.weights)


def _recipe(**config: object) -> QuantRecipe:
    rule = {"pattern": ".*", "config": {"bits": 4, "group": 32, "symmetric": True, **config}}
    rule["config"]["method"] = "min_max"  # type: ignore[index]
    return from_json(json.loads(json.dumps({"rules": [rule]})), Path("test.json"))


def test_a_recipe_that_does_not_fit_is_refused_at_once() -> None:
    with pytest.raises(UserError, match=r"embed_tokens\.weight: group 96 does not divide 256"):
        _table(_tensors(), _recipe(group=96)).shapes(PLAN.weights)


def test_a_stored_tensor_that_is_what_the_recipe_wants_keeps_every_bit() -> None:
    stored = to_torchao(quantize_hqq_scale(torch.randn(512, 256), bits=4, group=32))
    kept = WeightTable(_TorchaoCheckpoint(stored), CONFIG, recipe("none", 1))
    wanted = WeightTable(_TorchaoCheckpoint(stored), CONFIG, recipe("default", 1))
    shape = wanted.shapes(PLAN.weights)[UP]
    assert np.array_equal(wanted.make(UP, shape).data, kept.make(UP, shape).data)


@pytest.mark.parametrize(("bits", "group"), [(4, 64), (8, 32)])
def test_a_stored_tensor_in_another_form_is_not_quantized_again(bits: int, group: int) -> None:
    weight = quantize_min_max(torch.randn(512, 256), bits=bits, group=group, symmetric=True)
    checkpoint = _TorchaoCheckpoint(to_torchao(weight))
    sentence = (
        rf"^{UP}: it is stored as INT{bits} in groups of {group} already, and the recipe would"
        r" quantize it again to INT4 in groups of 32 \(use --recipe none to keep it"
    )
    table = WeightTable(checkpoint, CONFIG, recipe("default", 1))
    with pytest.raises(UserError, match=sentence):
        table.shapes(PLAN.weights)
    with pytest.raises(UserError, match=sentence):
        prepare(UP, checkpoint.read(UP), recipe("default", 1))


def test_a_plan_of_another_model_is_refused() -> None:
    other = build_plan(tiny_gemma4(num_layers=2), LIMITS, "decode")
    with pytest.raises(UserError, match=r"the plan and the checkpoint disagree about layers\.0\."):
        _table(_tensors(), recipe("none", 1)).shapes(other.weights)
    wider = build_plan(tiny_gemma4(num_layers=1, intermediate_size=544), LIMITS, "decode")
    with pytest.raises(UserError, match="has 512 x 256, the model needs 544 x 256"):
        _table(_tensors(), recipe("none", 1)).shapes(wider.weights)
