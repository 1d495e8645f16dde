"""The real Gemma 3 270M as a GGUF file: every tensor against gguf-py, and packed without loss."""

import os
from pathlib import Path

import gguf
import numpy as np
import pytest

from python.checkpoint import gguf_blocks
from python.checkpoint.checkpoint import Checkpoint, GgufTokenizer
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import BlockTensor, DenseTensor
from python.model.names import gguf_from_canonical
from python.quant import pack, unpack


@pytest.fixture(scope="module")
def path() -> Path:
    return Path(os.environ["TEST_SRCDIR"], os.environ["MODEL"])


@pytest.fixture(scope="module")
def checkpoint(path: Path) -> Checkpoint:
    return open_checkpoint(path)


def test_every_tensor_equals_gguf_py_and_is_packed_exactly(
    path: Path, checkpoint: Checkpoint
) -> None:
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert len(checkpoint.names()) == len(theirs) == 236
    types = set()
    for name in checkpoint.names():
        reference = theirs[gguf_from_canonical(name)]
        values = gguf.dequantize(reference.data, reference.tensor_type)
        tensor = checkpoint.read(name)
        if isinstance(tensor, DenseTensor):
            assert np.array_equal(tensor.values.numpy(), values)
        else:
            assert isinstance(tensor, BlockTensor)
            assert np.array_equal(gguf_blocks.dequantize(tensor), values)
            types.add(tensor.type.name)
        packed = pack.pack(name, tensor)
        assert packed.loss == 0
        if packed.data.nbytes < 10_000_000:
            assert np.array_equal(unpack.unpack(packed).reshape(values.shape), values)
    assert types == {"Q4_K", "Q5_0", "Q6_K", "Q8_0"}


def test_what_comes_along(checkpoint: Checkpoint) -> None:
    assert checkpoint.config.name == "gemma3_270m"
    assert checkpoint.generation.stop_ids == (1, 106)
    tokenizer = checkpoint.tokenizer
    assert isinstance(tokenizer, GgufTokenizer)
    assert len(tokenizer.tokens) == len(tokenizer.scores) == 262144
    assert tokenizer.tokens[106] == "<end_of_turn>"
    assert (tokenizer.bos_id, tokenizer.unknown_id, tokenizer.add_bos) == (2, 3, True)
