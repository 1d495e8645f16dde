"""The real Gemma 3 270M as a GGUF file: every tensor against gguf-py, and packed exactly."""

import os
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from python.checkpoint import gguf_blocks
from python.checkpoint.checkpoint import Checkpoint, GgufTokenizer
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import BlockTensor, DenseTensor
from python.pack import pack
from python.pack.testing import unpack

_ROWS = 128  # of each tensor


@pytest.fixture(scope="module")
def path() -> Path:
    return Path(os.environ["TEST_SRCDIR"], os.environ["MODEL"])


@pytest.fixture(scope="module")
def checkpoint(path: Path) -> Checkpoint:
    return open_checkpoint(path)


def test_every_type_equals_gguf_py_and_is_packed_exactly(checkpoint: Checkpoint) -> None:
    assert len(checkpoint.names()) == 236
    types = set()
    for name in checkpoint.names():
        tensor = checkpoint.read(name)
        if isinstance(tensor, DenseTensor):
            assert torch.isfinite(tensor.values).all()
            continue
        assert isinstance(tensor, BlockTensor)
        types.add(tensor.type.name)
        part = replace(tensor, blocks=tensor.blocks[:_ROWS])
        values = gguf.dequantize(part.blocks, gguf.GGMLQuantizationType[tensor.type.name])
        assert 0.001 < values.std() < 1  # blocks read from a wrong place would be noise
        assert np.array_equal(gguf_blocks.dequantize(part), values)
        packed = pack.pack(name, part)
        assert packed.loss == 0
        assert np.array_equal(unpack.unpack(packed), values)
    assert types == {"Q4_K", "Q5_0", "Q6_K", "Q8_0"}


def test_what_comes_along(checkpoint: Checkpoint) -> None:
    assert checkpoint.config.name == "gemma3_270m"
    assert checkpoint.generation.stop_ids == (1, 106)
    tokenizer = checkpoint.tokenizer
    assert isinstance(tokenizer, GgufTokenizer)
    assert len(tokenizer.tokens) == len(tokenizer.scores) == 262144
    assert tokenizer.tokens[106] == "<end_of_turn>"
    assert (tokenizer.bos_id, tokenizer.unknown_id, tokenizer.add_bos) == (2, 3, True)
