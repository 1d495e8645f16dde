"""Tests of loading with packed weights: the same scores as plain ones, and what is said of others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from python.checkpoint import ggml_types
from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import StoredTensor, TorchaoTensor
from python.checkpoint.testing import synthetic, tiny_gguf
from python.inference.generate import score
from python.inference.load_model import has_packed_form, load_model
from python.inference.quantized_linear import QuantizedEmbedding, QuantizedLinear
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.model.transformer import GemmaModel, TokenEmbedding
from python.model.weight_names import WeightError
from python.quant import recipe
from python.quant.store import store

torch.set_num_threads(1)

CPU = torch.device("cpu")
TOKENS = list(range(3, 250, 11))


def load(
    path: Path, packed: bool, dtype: torch.dtype = torch.float32
) -> tuple[GemmaModel, list[str]]:
    notes: list[str] = []
    with open_checkpoint(path) as checkpoint:
        model = load_model(
            checkpoint, max_context=64, max_chunk=32, dtype=dtype, device=CPU, packed=packed,
            on_note=notes.append,
        )  # fmt: skip
    return model, notes


def logprobs(model: GemmaModel, chunk: int) -> torch.Tensor:
    return torch.tensor([line.next_logprob for line in score(model, TOKENS, chunk)][:-1])


def same_scores(plain: GemmaModel, packed: GemmaModel) -> None:
    """The weights are the same numbers, and products are summed in another order.

    Logits are of order 1 here; they may differ by the 2e-4 that docs/numerics.md allows for that.
    """
    for chunk in (1, 8, 9, 23):
        share = float((logprobs(plain, chunk) - logprobs(packed, chunk)).abs().max()) / 2e-4
        print(f"chunks of {chunk}: {share:.3f} of the tolerance")
        assert share <= 1


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_gemma4(num_layers=2, window=5, tied_embeddings=request.param)
    path = tmp_path_factory.mktemp("load")
    synthetic.write_checkpoint(path / "plain", config, dtype=torch.float32)
    with open_checkpoint(path / "plain") as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        rules, quiet = recipe.recipe("default", 2), store.Settings(progress="none")
        store.quantize_checkpoint(checkpoint, rules, path / "int4", quiet)
    return path / "int4"


def test_a_store_scores_the_same_packed_and_plain(folder: Path) -> None:
    (plain, no_notes), (packed, notes) = load(folder, packed=False), load(folder, packed=True)
    assert no_notes == []
    assert len(notes) == 1 and notes[0].endswith("tinygemm needs CUDA")
    same_scores(plain, packed)


def test_no_plain_matrix_is_left_in_memory(folder: Path) -> None:
    model, _ = load(folder, packed=True, dtype=torch.bfloat16)
    assert all(tensor.ndim == 1 for tensor in model.state_dict().values())
    with open_checkpoint(folder) as checkpoint:
        stored = sum(
            checkpoint.describe(name).bytes
            for name in checkpoint.names()
            if len(checkpoint.describe(name).shape) == 2
        )
    packed = sum(
        module.packed.bytes
        for module in model.modules()
        if isinstance(module, QuantizedLinear | QuantizedEmbedding)
    )
    assert packed <= stored  # the store keeps zero points even where all of them are zero


def encode(name: str, shape: tuple[int, ...]) -> tuple[ggml_types.GgmlType, np.ndarray]:
    """Q4_0, but Q8_0, Q4_1 and Q5_0 for some."""
    kind, values = tiny_gguf.random_f32(name, shape)
    if len(shape) == 1:
        return kind, values
    types = {"embed_tokens": "Q8_0", "down_proj": "Q8_0", "o_proj": "Q4_1", "v_proj": "Q5_0"}
    chosen = next((kind for part, kind in types.items() if part in name), "Q4_0")
    blocks = gguf.quantize(values, gguf.GGMLQuantizationType[chosen])
    return getattr(ggml_types, chosen), blocks


@pytest.mark.parametrize("make", [tiny_gemma3, tiny_gemma4])
def test_gguf_blocks_stay_packed_where_that_is_exact(
    make: Callable[..., GemmaConfig], tmp_path: Path
) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf.build(make(num_layers=2), encode))
    (plain, _), (packed, notes) = load(path, packed=False), load(path, packed=True)
    values = 1 if make is tiny_gemma4 else 2  # full layers of Gemma 4 have no v_proj
    assert "INT4 weights are dequantized for every product: tinygemm needs CUDA" in notes[0]
    assert notes[1:] == [f"dequantized to float32: 2 of Q4_1, {values} of Q5_0"]
    kinds = {
        "embed_tokens": QuantizedEmbedding,
        "layers.0.mlp.down_proj": QuantizedLinear,
        "layers.0.self_attn.o_proj": torch.nn.Linear,
    }
    for name, kind in kinds.items():
        assert type(packed.get_submodule(name)) is kind
    assert type(plain.get_submodule("embed_tokens")) is TokenEmbedding
    same_scores(plain, packed)


def test_whether_anything_can_stay_packed(folder: Path) -> None:
    with open_checkpoint(folder) as packed, open_checkpoint(folder.parent / "plain") as plain:
        assert has_packed_form(packed)
        assert not has_packed_form(plain)


def test_a_weight_of_another_shape_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_checkpoint(folder) as checkpoint:
        read = checkpoint.read

        def half(name: str) -> StoredTensor:
            tensor = read(name)
            if name != "layers.1.mlp.up_proj.weight":
                return tensor
            assert isinstance(tensor, TorchaoTensor)
            parts = {"qdata": tensor.parts["qdata"][:32]}
            parts |= {part: tensor.parts[part][:, :32] for part in ("scale", "zero_point")}
            return dataclasses.replace(tensor, parts=parts)

        monkeypatch.setattr(checkpoint, "read", half)
        with pytest.raises(WeightError, match=r"up_proj.weight: the checkpoint has 32 x 256, the"):
            load_model(
                checkpoint, max_context=64, max_chunk=32, dtype=torch.float32, device=CPU,
                packed=True,
            )  # fmt: skip
