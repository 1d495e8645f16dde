"""Genuine quantized files: what llama.cpp makes of a tiny model is read and packed exactly.

gguf-py cannot encode K-quants, so random blocks test only decoding; here scales, minimums and
mixtures of types are those of real files. The reference is gguf-py's reader and dequantizer.
"""

from pathlib import Path

import gguf
import numpy as np
import pytest
from cyllama.llama import llama_cpp

from python.checkpoint import gguf_blocks
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.stored_names import gguf_from_canonical
from python.checkpoint.tensor import BlockTensor, DenseTensor
from python.checkpoint.testing import tiny_gguf
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.pack import pack
from python.pack.testing import unpack

# llama.cpp's file types (llama.h, llama_ftype) and the block types that must occur in such a file.
FILE_TYPES = {
    "Q4_0": (2, {"Q4_0"}),
    "Q4_1": (3, {"Q4_1"}),
    "Q8_0": (7, {"Q8_0"}),
    "Q5_0": (8, {"Q5_0"}),
    "Q5_1": (9, {"Q5_1"}),
    "Q2_K": (10, {"Q2_K"}),
    "Q3_K_M": (12, {"Q3_K"}),
    "Q4_K_M": (15, {"Q4_K", "Q6_K"}),
    "Q5_K_M": (17, {"Q5_K", "Q6_K"}),
    "Q6_K": (18, {"Q6_K"}),
    "IQ4_NL": (25, {"IQ4_NL"}),
    "IQ4_XS": (30, {"IQ4_XS"}),
}
_LOSSES = {"Q2_K": 0.01}


@pytest.fixture(scope="module", params=["gemma3", "gemma4"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = (tiny_gemma3 if request.param == "gemma3" else tiny_gemma4)(num_layers=2)
    path = tmp_path_factory.mktemp(request.param) / "f32.gguf"
    path.write_bytes(tiny_gguf.build(config))
    return path


@pytest.mark.parametrize("name", FILE_TYPES)
def test_genuine_files(original: Path, name: str) -> None:
    number, expected_types = FILE_TYPES[name]
    path = original.with_name(f"{name}.gguf")
    parameters = llama_cpp.LlamaModelQuantizeParams()
    parameters.ftype, parameters.nthread = number, 1
    llama_cpp.model_quantize(str(original), str(path), parameters)
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    found = set()
    with open_checkpoint(path) as checkpoint:
        for weight in checkpoint.names():
            tensor = checkpoint.read(weight)
            reference = theirs[gguf_from_canonical(weight)]
            values = gguf.dequantize(reference.data, reference.tensor_type)
            packed = pack.pack(weight, tensor)
            if isinstance(tensor, DenseTensor):
                assert np.array_equal(tensor.values.float().numpy(), values)
            assert isinstance(tensor, BlockTensor | DenseTensor)
            if isinstance(tensor, BlockTensor):
                found.add(tensor.type.name)
                assert tensor.type.name == reference.tensor_type.name
                assert np.array_equal(gguf_blocks.dequantize(tensor), values)
                if tensor.type.name in _LOSSES:
                    assert 0 < packed.loss < _LOSSES[tensor.type.name]
                    continue
            assert packed.loss == 0
            assert np.array_equal(unpack.unpack(packed).reshape(values.shape), values)
    assert expected_types <= found
