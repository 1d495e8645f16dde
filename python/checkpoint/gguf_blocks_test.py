"""Tests of gguf_blocks against gguf-py, bit for bit, on random blocks.

Every byte pattern occurs, infinities included.
"""

import gguf
import numpy as np
import pytest

from python.checkpoint import ggml_types, gguf_blocks
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.tensor import BlockTensor

QUANTIZED = [kind for kind in ggml_types.ALL if not kind.is_plain]


def same_bits(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal to the last bit; a NaN equals any NaN, for IEEE 754 leaves its payload open."""
    equal = (ours.view(np.uint32) == theirs.view(np.uint32)) | (np.isnan(ours) & np.isnan(theirs))
    return bool(equal.all())


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("seed", range(3))
def test_dequantize_equals_gguf_py(kind: GgmlType, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, blocks = 37, 11
    data = random.integers(0, 256, (rows, blocks * kind.bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):
        theirs = gguf.dequantize(data, gguf.GGMLQuantizationType[kind.name])
    ours = gguf_blocks.dequantize(
        BlockTensor(type=kind, columns=blocks * kind.columns, blocks=data)
    )
    assert ours.shape == (rows, blocks * kind.columns)
    assert same_bits(ours, theirs)
    assert np.isfinite(ours).mean() > 0.5


@pytest.mark.parametrize("kind", ggml_types.ALL, ids=lambda kind: kind.name)
def test_types_are_those_of_gguf_py(kind: GgmlType) -> None:
    theirs = gguf.GGMLQuantizationType[kind.name]
    assert theirs.value == kind.number
    assert gguf.GGML_QUANT_SIZES[theirs] == (kind.columns, kind.bytes)


def test_other_names_are_those_of_gguf_py() -> None:
    theirs = {kind.value: kind.name for kind in gguf.GGMLQuantizationType}
    assert theirs == {
        **{kind.number: kind.name for kind in ggml_types.ALL},
        **ggml_types.OTHER_NAMES,
    }


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_blocks_that_gguf_py_made(name: str) -> None:
    weights = np.random.default_rng(1).standard_normal((64, 256), dtype=np.float32)
    data = gguf.quantize(weights, gguf.GGMLQuantizationType[name])
    ours = gguf_blocks.dequantize(
        BlockTensor(type=ggml_types.BY_NAME[name], columns=256, blocks=data)
    )
    assert same_bits(ours, gguf.dequantize(data, gguf.GGMLQuantizationType[name]))
    error = np.linalg.norm(ours - weights) / np.linalg.norm(weights)
    assert error < {"Q4_0": 0.1, "Q4_1": 0.1, "Q5_0": 0.05, "Q5_1": 0.05, "Q8_0": 0.01}[name]


def test_slabs_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ggml_types.Q6_K
    data = np.random.default_rng(2).integers(0, 60, (9, 2 * kind.bytes), dtype=np.uint8)
    tensor = BlockTensor(type=kind, columns=512, blocks=data)
    whole = gguf_blocks.dequantize(tensor)
    monkeypatch.setattr(gguf_blocks, "_SLAB_COLUMNS", 1024)
    assert same_bits(gguf_blocks.dequantize(tensor), whole)
