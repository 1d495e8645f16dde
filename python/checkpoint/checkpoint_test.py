"""Tests of open_checkpoint, the Hugging Face folder and the GGUF file, on small ones made here."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors.torch
import torch

from python.checkpoint import ggml_types, gguf_bytes, names
from python.checkpoint.checkpoint import GgufTokenizer, HuggingFaceTokenizer
from python.checkpoint.gguf_bytes import ARRAY, F32, I32, STRING, U32, pair, scalar, string
from python.checkpoint.gguf_checkpoint import GgufCheckpoint
from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import BlockTensor, DenseTensor
from python.console.errors import FormatError, UserError

_UP = "layers.0.mlp.up_proj.weight"
_NORM = "layers.0.input_layernorm.weight"


def _tensors(prefix: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        f"{prefix}embed_tokens.weight": torch.randn(8, 32).to(torch.bfloat16),
        f"{prefix}norm.weight": torch.randn(32).to(torch.bfloat16),
        f"{prefix}{_UP}": torch.randn(64, 32).to(torch.bfloat16),
        f"{prefix}{_NORM}": torch.randn(32).to(torch.bfloat16),
        f"{prefix}layers.0.layer_scalar": torch.tensor([0.5]).to(torch.bfloat16),
    }


def _folder(
    folder: Path,
    *,
    config: Any = None,
    prefix: str = "model.",
    more: dict[str, torch.Tensor] | None = None,
) -> Path:
    folder.mkdir(exist_ok=True)
    value = {"model_type": "gemma4", "eos_token_id": 1} if config is None else config
    (folder / "config.json").write_text(json.dumps(value))
    safetensors.torch.save_file({**_tensors(prefix), **(more or {})}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("prefix", ["model.", "model.language_model.", "language_model.model."])
def test_a_hugging_face_folder(tmp_path: Path, prefix: str) -> None:
    vision = {
        "model.vision_tower.patch.weight": torch.zeros(3),
        "model.embed_vision.x": torch.zeros(1),
    }
    folder = _folder(tmp_path / "hf", prefix=prefix, more=vision)
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.names() == (
            "embed_tokens.weight",
            _NORM,
            "layers.0.layer_scalar",
            _UP,
            "norm.weight",
        )
        info = checkpoint.describe(_UP)
        assert (info.encoding, info.shape, info.bytes, info.elements) == (
            "BF16",
            (64, 32),
            4096,
            2048,
        )
        tensor = checkpoint.read(_NORM)
        assert isinstance(tensor, DenseTensor)
        assert torch.equal(tensor.values, _tensors(prefix)[f"{prefix}{_NORM}"])
        assert checkpoint.tokenizer is None
        assert checkpoint.generation.stop_ids == (1,)
        assert checkpoint.config.kind == "hugging_face"


@pytest.mark.parametrize("model_type", ["gemma3", "gemma3_text"])
def test_norms_of_gemma_3_become_the_factor(tmp_path: Path, model_type: str) -> None:
    with open_checkpoint(_folder(tmp_path / "hf", config={"model_type": model_type})) as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        factor, stored, up = (
            checkpoint.read(_NORM),
            checkpoint.read_stored(_NORM),
            checkpoint.read(_UP),
        )
        assert isinstance(factor, DenseTensor) and isinstance(stored, DenseTensor)
        assert torch.equal(factor.values, 1.0 + stored.values.float())
        assert isinstance(up, DenseTensor)
        assert up.values.dtype == torch.bfloat16


def test_generation_config_and_tokenizer_come_along(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "hf")
    (folder / "generation_config.json").write_text(
        json.dumps(
            {
                "do_sample": True,
                "eos_token_id": [106, 1, 50],
                "temperature": 1.0,
                "top_k": 64,
                "top_p": 0.95,
                "suppress_tokens": [7],
                "transformers_version": "5.0",
            }
        )
    )
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<bos>"}')
    with open_checkpoint(folder) as checkpoint:
        generation = checkpoint.generation
        assert generation.stop_ids == (1, 50, 106)
        assert generation.suppressed_ids == (7,)
        assert (generation.temperature, generation.top_k, generation.top_p) == (1.0, 64, 0.95)
        assert checkpoint.tokenizer == HuggingFaceTokenizer(
            path=folder / "tokenizer.json", config={"bos_token": "<bos>"}
        )


def test_without_sampling_the_temperature_is_0(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "hf")
    (folder / "generation_config.json").write_text('{"eos_token_id": 1, "temperature": 0.7}')
    assert open_checkpoint(folder).generation.temperature == 0.0


@pytest.mark.parametrize("eos", ["x", [1, -1], [True], 1.5, {}])
def test_bad_stop_ids(tmp_path: Path, eos: Any) -> None:
    folder = _folder(tmp_path / "hf")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
    with pytest.raises(FormatError, match=r"'eos_token_id' is .* it must be a token id or a list"):
        open_checkpoint(folder)


def test_a_tied_head_is_dropped_and_a_lying_one_refused(tmp_path: Path) -> None:
    embedding = _tensors("model.")["model.embed_tokens.weight"]
    folder = _folder(tmp_path / "same", more={"lm_head.weight": embedding.clone()})
    assert names.HEAD not in open_checkpoint(folder).names()
    folder = _folder(tmp_path / "lies", more={"lm_head.weight": embedding + 1})
    with pytest.raises(FormatError, match=r"config.json ties the head .*'lm_head.weight' differs"):
        open_checkpoint(folder)
    config = {"model_type": "gemma4", "tie_word_embeddings": False}
    folder = _folder(tmp_path / "own", config=config, more={"lm_head.weight": embedding + 1})
    assert open_checkpoint(folder).names()[-1] == names.HEAD


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            {"model.layers.0.mlp.extra.weight": torch.zeros(1)},
            "holds 'model.layers.0.mlp.extra.weight', which no Gemma",
        ),
        ({"model.layers.00.mlp.up_proj.weight": torch.zeros(1)}, "which no Gemma text model has"),
        ({"layers.0.mlp.up_proj.weight": torch.zeros(1)}, "which no Gemma text model has"),
        ({f"model.language_model.{_UP}": torch.zeros(1)}, "which are the same weight"),
    ],
)
def test_unknown_tensors_are_named(
    tmp_path: Path, more: dict[str, torch.Tensor], problem: str
) -> None:
    with pytest.raises(FormatError, match=problem):
        open_checkpoint(_folder(tmp_path / "hf", more=more))


def test_foreign_quantization_is_refused(tmp_path: Path) -> None:
    config = {"model_type": "gemma4", "quantization_config": {"quant_method": "compressed-tensors"}}
    with pytest.raises(
        FormatError, match="is quantized with 'compressed-tensors', which is not read"
    ):
        open_checkpoint(_folder(tmp_path / "hf", config=config))


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist; --checkpoint wants"):
        open_checkpoint(tmp_path / "nothing")
    with pytest.raises(FormatError, match=r"holds no config.json"):
        open_checkpoint(tmp_path)
    (tmp_path / "x.gguf").write_bytes(b"PK\3\4")
    with pytest.raises(FormatError, match="is neither a folder nor a GGUF file"):
        open_checkpoint(tmp_path / "x.gguf")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(FormatError, match="must hold a JSON object"):
        open_checkpoint(tmp_path)


_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "a", "<end_of_turn>", "<turn|>", "<|tool_response>"]


def _pairs(architecture: str, *more: bytes) -> list[bytes]:
    return [
        gguf_bytes.text_pair("general.architecture", architecture),
        gguf_bytes.number_pair(f"{architecture}.block_count", U32, 1),
        gguf_bytes.text_pair("tokenizer.ggml.model", "llama"),
        pair(
            "tokenizer.ggml.tokens",
            ARRAY,
            gguf_bytes.array(STRING, [string(text) for text in _TOKENS]),
        ),
        pair(
            "tokenizer.ggml.scores",
            ARRAY,
            gguf_bytes.array(F32, [scalar(F32, -i) for i in range(8)]),
        ),
        pair("tokenizer.ggml.token_type", ARRAY, gguf_bytes.array(I32, [scalar(I32, 1)] * 8)),
        gguf_bytes.number_pair("tokenizer.ggml.bos_token_id", U32, 2),
        gguf_bytes.number_pair("tokenizer.ggml.eos_token_id", U32, 1),
        *more,
    ]


def _quantized(rows: int, columns: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    weight = np.random.default_rng(rows).standard_normal((rows, columns), dtype=np.float32)
    data = gguf.quantize(weight, gguf.GGMLQuantizationType[name])
    return data, gguf.dequantize(data, gguf.GGMLQuantizationType[name])


def _gguf_tensors() -> list[Any]:
    up, _ = _quantized(64, 32, "Q4_0")
    embedding, _ = _quantized(8, 32, "Q8_0")
    norm = np.arange(32, dtype=np.float32)
    return [
        ("token_embd.weight", ggml_types.Q8_0, embedding, (8, 32)),
        ("output_norm.weight", ggml_types.F32, norm, (32,)),
        ("blk.0.ffn_up.weight", ggml_types.Q4_0, up, (64, 32)),
        ("blk.0.attn_norm.weight", ggml_types.F32, norm + 1, (32,)),
        (
            "blk.0.layer_output_scale.weight",
            ggml_types.F32,
            np.array([0.5], dtype=np.float32),
            (1,),
        ),
    ]


def _gguf(path: Path, architecture: str = "gemma3", pairs: Any = (), tensors: Any = ()) -> Path:
    path.write_bytes(
        gguf_bytes.gguf_file(_pairs(architecture, *pairs), [*_gguf_tensors(), *tensors])
    )
    return path


def test_a_gguf_file(tmp_path: Path) -> None:
    with open_checkpoint(_gguf(tmp_path / "a.gguf")) as checkpoint:
        assert checkpoint.names() == (
            "embed_tokens.weight",
            _NORM,
            "layers.0.layer_scalar",
            _UP,
            "norm.weight",
        )
        up, norm = checkpoint.read(_UP), checkpoint.read(_NORM)
        assert isinstance(up, BlockTensor)
        assert (up.type, up.rows, up.columns) == (ggml_types.Q4_0, 64, 32)
        assert isinstance(norm, DenseTensor)
        assert norm.values.tolist() == [float(i + 1) for i in range(32)]
        assert checkpoint.describe(_UP).encoding == "Q4_0"
        assert checkpoint.generation.stop_ids == (1, 5)
        assert checkpoint.config.kind == "gguf"
        assert checkpoint.config.values["tokenizer.ggml.tokens"] == _TOKENS
        tokenizer = checkpoint.tokenizer
        assert isinstance(tokenizer, GgufTokenizer)
        assert (tokenizer.bos_id, tokenizer.add_bos, tokenizer.unknown_id) == (2, True, None)
        assert list(tokenizer.scores) == [-float(i) for i in range(8)]


def test_all_stop_tokens_of_gemma_4(tmp_path: Path) -> None:
    eot = gguf_bytes.number_pair("tokenizer.ggml.eot_token_id", U32, 6)
    assert open_checkpoint(_gguf(tmp_path / "a.gguf", "gemma4", [eot])).generation.stop_ids == (
        1,
        6,
        7,
    )


def _factors(turning: int, rest: float = 1e30) -> list[Any]:
    values = np.array([1.0] * turning + [rest] * (16 - turning), dtype=np.float32)
    return [("rope_freqs.weight", ggml_types.F32, values, (16,))]


def test_rope_factors_are_checked_and_not_offered(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(_gguf(tmp_path / "a.gguf", "gemma4", tensors=_factors(4)))
    assert not any("rope" in name for name in checkpoint.names())
    for bad in (_factors(5), _factors(4, 8.0)):
        with pytest.raises(FormatError, match=r"'rope_freqs.weight' is not that of gemma4"):
            open_checkpoint(_gguf(tmp_path / "a.gguf", "gemma4", tensors=bad))


def test_a_repeated_embedding_is_dropped_and_a_head_offered(tmp_path: Path) -> None:
    same = ("output.weight", ggml_types.Q8_0, _quantized(8, 32, "Q8_0")[0], (8, 32))
    assert names.HEAD not in open_checkpoint(_gguf(tmp_path / "a.gguf", tensors=[same])).names()
    other = ("output.weight", ggml_types.Q4_0, _quantized(8, 32, "Q4_0")[0], (8, 32))
    assert open_checkpoint(_gguf(tmp_path / "a.gguf", tensors=[other])).names()[-1] == names.HEAD


@pytest.mark.parametrize(
    ("architecture", "pairs", "tensors", "problem"),
    [
        ("llama", [], [], "has the architecture 'llama', only gemma3 and gemma4"),
        (
            "gemma3",
            [],
            [("blk.0.ffn_gate_exps.weight", ggml_types.F32, np.zeros(1, "f4"), (1,))],
            "no dense Gemma",
        ),
        (
            "gemma3",
            [],
            [("blk.x.ffn_up.weight", ggml_types.F32, np.zeros(1, "f4"), (1,))],
            "no dense Gemma",
        ),
        (
            "gemma3",
            [gguf_bytes.number_pair("split.count", U32, 2)],
            [],
            "is one of 2 splits, so it must be named",
        ),
        ("gemma3", [gguf_bytes.text_pair("split.count", "two")], [], "is one of 'two' splits"),
    ],
)
def test_bad_gguf_files(
    tmp_path: Path, architecture: str, pairs: Any, tensors: Any, problem: str
) -> None:
    with pytest.raises(FormatError, match=problem):
        open_checkpoint(_gguf(tmp_path / "a.gguf", architecture, pairs, tensors))


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        (
            [gguf_bytes.number_pair("tokenizer.ggml.bos_token_id", U32, 8)],
            "bos_token_id is 8, not an id of the 8",
        ),
        ([gguf_bytes.text_pair("tokenizer.ggml.bos_token_id", "2")], "bos_token_id is '2'"),
        (
            [pair("tokenizer.ggml.scores", ARRAY, gguf_bytes.array(F32, []))],
            "scores must have a number for each",
        ),
        ([gguf_bytes.text_pair("tokenizer.ggml.merges", "a b")], "must be arrays of strings"),
        ([gguf_bytes.text_pair("tokenizer.ggml.tokens", "a")], "must be arrays of strings"),
        ([gguf_bytes.text_pair("tokenizer.ggml.eos_token_id", "a")], "'eos_token_id' is 'a'"),
    ],
)
def test_bad_tokenizers(tmp_path: Path, pairs: list[bytes], problem: str) -> None:
    keys = [entry[8 : 8 + entry[0]] for entry in pairs]
    kept = [entry for entry in _pairs("gemma3") if entry[8 : 8 + entry[0]] not in keys]
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf_bytes.gguf_file([*kept, *pairs], _gguf_tensors()))
    with pytest.raises(FormatError, match=problem):
        open_checkpoint(path)


def _splits(folder: Path, numbers: tuple[int, ...] = (0, 1), total: int = 5) -> Path:
    tensors = _gguf_tensors()
    for position, part in enumerate((tensors[:2], tensors[2:])):
        pairs = [
            gguf_bytes.number_pair("split.no", gguf_bytes.U16, numbers[position]),
            gguf_bytes.number_pair("split.count", gguf_bytes.U16, 2),
            gguf_bytes.number_pair("split.tensors.count", I32, total),
        ]
        more = _pairs("gemma3", *pairs) if position == 0 else pairs
        (folder / f"m-0000{position + 1}-of-00002.gguf").write_bytes(
            gguf_bytes.gguf_file(more, part)
        )
    return folder / "m-00001-of-00002.gguf"


def test_splits_are_one(tmp_path: Path) -> None:
    first = _splits(tmp_path)
    for path in (first, first.with_name("m-00002-of-00002.gguf")):
        checkpoint = open_checkpoint(path)
        assert isinstance(checkpoint, GgufCheckpoint)
        assert len(checkpoint.names()) == 5
        assert isinstance(checkpoint.read(_UP), BlockTensor)


def test_broken_splits(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not split 2 of 2, though its name says so"):
        open_checkpoint(_splits(tmp_path, numbers=(0, 0)))
    with pytest.raises(FormatError, match="hold 5 tensors, 6 were promised"):
        open_checkpoint(_splits(tmp_path, total=6))
    first = _splits(tmp_path)
    first.with_name("m-00002-of-00002.gguf").unlink()
    with pytest.raises(FormatError, match=r"m-00002-of-00002.gguf: is missing: it is split 2 of 2"):
        open_checkpoint(first)
