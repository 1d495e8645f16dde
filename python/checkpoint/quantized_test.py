"""Tests of quantized: torchao's form and back, exactly, and through torchao's own code."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchao.prototype.safetensors.safetensors_support import (
    flatten_tensor_state_dict,
    unflatten_tensor_state_dict,
)

from python.checkpoint.quantized import QuantizedTensor, from_torchao, to_torchao
from python.checkpoint.tensor import TorchaoTensor
from python.checkpoint.torchao_metadata import part_name, subclass_metadata
from python.console.errors import UserError
from python.quant.methods.min_max import quantize_min_max


def _tensor(bits: int, symmetric: bool, group: int = 32) -> QuantizedTensor:
    weight = torch.randn(6, 128, generator=torch.Generator().manual_seed(1))
    return quantize_min_max(weight, bits=bits, group=group, symmetric=symmetric)


def _same(a: QuantizedTensor, b: QuantizedTensor) -> bool:
    offsets = (a.offset is None and b.offset is None) or (
        a.offset is not None and b.offset is not None and torch.equal(a.offset, b.offset)
    )
    return (
        (a.bits, a.group) == (b.bits, b.group)
        and torch.equal(a.q, b.q)
        and torch.equal(a.scale, b.scale)
        and offsets
    )


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [32, 128])
def test_round_trip(bits: int, symmetric: bool, group: int) -> None:
    tensor = _tensor(bits, symmetric, group)
    assert _same(from_torchao("w", to_torchao(tensor)), tensor)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [32, 128])
def test_torchao_reads_and_writes_the_same(bits: int, symmetric: bool, group: int) -> None:
    """We write the names and metadata that flatten_tensor_state_dict gives for the same tensors."""
    ours = to_torchao(_tensor(bits, symmetric, group))
    name = "model.layers.0.mlp.up_proj.weight"
    parts = {part_name(name, part): value for part, value in ours.parts.items()}
    metadata = {name: subclass_metadata(ours), "tensor_names": f'["{name}"]'}
    read, left = unflatten_tensor_state_dict(parts, metadata)
    assert not left
    assert type(read[name]).__name__ == ours.class_name
    written, their_metadata = flatten_tensor_state_dict(read)
    assert their_metadata == metadata
    assert set(written) == set(parts)
    assert all(torch.equal(written[key], parts[key]) for key in parts)


@pytest.mark.parametrize("symmetric", [True, False])
def test_torchaos_own_dequantize_agrees(symmetric: bool) -> None:
    tensor = _tensor(8, symmetric, 128)
    ours = to_torchao(tensor)
    parts = {part_name("a.weight", part): value for part, value in ours.parts.items()}
    metadata = {"a.weight": subclass_metadata(ours), "tensor_names": '["a.weight"]'}
    theirs = unflatten_tensor_state_dict(parts, metadata)[0]["a.weight"].dequantize()
    assert torch.allclose(theirs, tensor.dequantize(), rtol=1e-6, atol=1e-7)


def _change(
    part: str, to: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[dict[str, Any]], None]:
    def change(tensor: dict[str, Any]) -> None:
        tensor["parts"][part] = to(tensor["parts"][part])

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t["parts"].pop("scale"), "scale of the Int4Tensor is missing"),
        (lambda t: t["attributes"].update(block_size=[1, 33]), "group 33 does not divide 128"),
        (lambda t: t["attributes"].update(block_size=[1, 256]), "group 256 does not divide 128"),
        (lambda t: t["attributes"].update(block_size=[1, 0]), r"block_size \[1, 0\] is not read"),
        (lambda t: t["attributes"].update(block_size="x"), "block_size 'x' is not read"),
        (lambda t: t["parts"].update(act_pre_scale=torch.ones(1)), "act_pre_scale is not read"),
        (_change("qdata", lambda v: v[:, :-16]), r"scale has \(6, 4\), \(6, 3\) are needed"),
        (_change("qdata", lambda v: v.to(torch.int32)), "qdata of the Int4Tensor is torch.int32"),
        (_change("qdata", lambda v: v[:0]), "qdata of the Int4Tensor is"),
        (_change("scale", lambda v: v[:, :-1]), r"scale has \(5, 4\)"),
        (_change("zero_point", lambda v: v[:1]), "zero_point has"),
        (_change("scale", lambda v: v.float() + 1e-6), "scale has values that float16 cannot hold"),
        (_change("scale", lambda v: v * torch.nan), "scale has values that float16 cannot hold"),
        (_change("zero_point", lambda v: v * torch.nan), "zero_point has values that float16"),
        (lambda t: t.update(class_name="Float8Tensor"), "Float8Tensor is not read"),
    ],
)
def test_bad_parts_are_refused(change: Callable[[dict[str, Any]], None], problem: str) -> None:
    good = to_torchao(_tensor(4, False))
    fields = {
        "class_name": good.class_name,
        "parts": dict(good.parts),
        "attributes": dict(good.attributes),
    }
    change(fields)
    with pytest.raises(UserError, match=f"^w: .*{problem}"):
        from_torchao("w", TorchaoTensor(**fields))  # type: ignore[arg-type]


def test_intx_of_too_many_bits_is_refused() -> None:
    good = to_torchao(_tensor(8, True))
    attributes = {**good.attributes, "target_dtype": {"_type": "torch.dtype", "_data": "int4"}}
    with pytest.raises(UserError, match="w: holds -127 to 127, which are not 4 bits"):
        from_torchao(
            "w", TorchaoTensor(class_name=good.class_name, parts=good.parts, attributes=attributes)
        )


def test_intx_with_four_bits_is_read() -> None:
    good = to_torchao(_tensor(8, True))
    attributes = {**good.attributes, "target_dtype": {"_type": "torch.dtype", "_data": "int4"}}
    parts = {**good.parts, "qdata": (good.parts["qdata"] // 16).to(torch.int8)}
    tensor = from_torchao(
        "w", TorchaoTensor(class_name=good.class_name, parts=parts, attributes=attributes)
    )
    assert tensor.bits == 4
    assert tensor.offset is None
