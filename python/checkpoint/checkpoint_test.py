"""Tests of open_checkpoint, the Hugging Face folder and the GGUF file, on small ones made here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors.torch
import torch

from python.checkpoint import ggml_types
from python.checkpoint.byte_source import ByteSource
from python.checkpoint.checkpoint import GgufTokenizer, HuggingFaceTokenizer
from python.checkpoint.ggml_types import GgmlType
from python.checkpoint.gguf_checkpoint import GgufCheckpoint
from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import BlockTensor, DenseTensor
from python.checkpoint.testing import gguf_bytes, synthetic, tiny_gguf
from python.checkpoint.testing.gguf_bytes import (
    ARRAY,
    F32,
    I32,
    U16,
    U32,
    number_pair,
    pair,
    text_pair,
)
from python.console.errors import FormatError, UserError
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.model.weight_names import expected_weights

_UP = "layers.0.mlp.up_proj.weight"
_NORM = "layers.0.input_layernorm.weight"
_GEMMA4 = tiny_gemma4(num_layers=2)
_GEMMA3 = tiny_gemma3(num_layers=2)
_SHARD = "model-00001-of-00001.safetensors"


def _folder(folder: Path, config: GemmaConfig = _GEMMA4, prefix: str = "model.") -> Path:
    synthetic.write_checkpoint(folder, config, prefix=prefix)
    return folder


def _edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """Changes the weights of a folder; the index goes, for it would know better."""
    tensors = safetensors.torch.load_file(folder / _SHARD)
    change(tensors)
    safetensors.torch.save_file(tensors, folder / _SHARD)
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    return folder


def _edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _dense(tensor: object) -> torch.Tensor:
    assert isinstance(tensor, DenseTensor)
    return tensor.values


@pytest.mark.parametrize("prefix", ["model.", "model.language_model.", "language_model.model."])
def test_a_hugging_face_folder(tmp_path: Path, prefix: str) -> None:
    folder = _edit(
        _folder(tmp_path / "hf", prefix=prefix),
        lambda tensors: tensors.update({"model.vision_tower.patch.weight": torch.zeros(3)}),
    )
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.names() == tuple(expected_weights(_GEMMA4))
        info = checkpoint.describe(_UP)
        assert (info.encoding, info.shape, info.bytes) == ("BF16", (512, 256), 512 * 256 * 2)
        assert info.elements == 512 * 256
        stored = safetensors.torch.load_file(folder / _SHARD)
        assert torch.equal(_dense(checkpoint.read(_UP)), stored[prefix + _UP])
        norm = _dense(checkpoint.read(_NORM))
        assert norm.dtype == torch.float32
        assert torch.equal(norm, stored[prefix + _NORM].float())
        assert checkpoint.tokenizer is None
        assert checkpoint.config.hidden_size == 256


def test_norms_of_gemma_3_become_the_factor(tmp_path: Path) -> None:
    with open_checkpoint(_folder(tmp_path / "hf", _GEMMA3)) as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        stored = _dense(checkpoint.read_stored(_NORM))
        assert stored.dtype == torch.bfloat16
        assert torch.equal(_dense(checkpoint.read(_NORM)), 1.0 + stored.float())


def test_generation_config_and_tokenizer_come_along(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "hf")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<bos>"}')
    _edit_json(folder / "generation_config.json", suppress_tokens=[7], transformers_version="5")
    with open_checkpoint(folder) as checkpoint:
        generation = checkpoint.generation
        assert generation.stop_ids == (1, 50, 106)
        assert generation.suppressed_ids == (7,)
        assert (generation.temperature, generation.top_k, generation.top_p) == (1.0, 64, 0.95)
        assert checkpoint.tokenizer == HuggingFaceTokenizer(
            path=folder / "tokenizer.json", config={"bos_token": "<bos>"}
        )


def test_without_a_generation_config_the_config_names_the_stop_ids(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "hf")
    (folder / "generation_config.json").unlink()
    _edit_json(folder / "config.json", eos_token_id=106)
    assert open_checkpoint(folder).generation.stop_ids == (106,)


def test_without_sampling_the_temperature_is_0(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "hf")
    (folder / "generation_config.json").write_text('{"eos_token_id": 1, "temperature": 0.7}')
    assert open_checkpoint(folder).generation.temperature == 0.0


@pytest.mark.parametrize("eos", ["x", [1, -1], [True], 1.5, {}])
def test_bad_stop_ids(tmp_path: Path, eos: Any) -> None:
    folder = _folder(tmp_path / "hf")
    _edit_json(folder / "generation_config.json", eos_token_id=eos)
    with pytest.raises(FormatError, match=r"'eos_token_id' is .* it must be a token id or a list"):
        open_checkpoint(folder)


def test_a_tied_head_may_only_repeat_the_embedding(tmp_path: Path) -> None:
    embedding = "model.embed_tokens.weight"
    folder = _edit(
        _folder(tmp_path / "same"), lambda t: t.update({"lm_head.weight": t[embedding].clone()})
    )
    assert "lm_head.weight" not in open_checkpoint(folder).names()
    _edit(folder, lambda t: t["lm_head.weight"].add_(1))
    with pytest.raises(FormatError, match=r"config.json ties the head .*'lm_head.weight' differs"):
        open_checkpoint(folder)
    _edit_json(folder / "config.json", tie_word_embeddings=False)
    assert open_checkpoint(folder).names()[-1] == "lm_head.weight"


def _renamed(tensors: dict[str, torch.Tensor], old: str, new: str) -> None:
    tensors[new] = tensors.pop(old)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.pop(f"model.{_UP}"), f"lacks 1 weights of gemma4: {_UP}"),
        (lambda t: t.update({"model.x": torch.zeros(1)}), "model.x: unknown tensor"),
        (lambda t: _renamed(t, f"model.{_UP}", f"model.layers.7.{_UP[9:]}"), "layer 7 does not"),
        (lambda t: _renamed(t, f"model.{_UP}", f"x.{_UP}"), f"x.{_UP}: unknown tensor"),
        (
            lambda t: t.update({f"model.language_model.{_UP}": torch.zeros(1)}),
            "which are the same weight",
        ),
        (
            lambda t: t.update({f"model.{_UP}": torch.zeros(512, 255)}),
            f"{_UP} is 512 x 255, gemma4 needs 512 x 256",
        ),
    ],
)
def test_missing_unknown_and_misshapen_weights_are_named(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], problem: str
) -> None:
    with pytest.raises(FormatError, match=problem):
        open_checkpoint(_edit(_folder(tmp_path / "hf"), change))


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "hf")
    _edit_json(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(FormatError, match="is quantized with 'bitsandbytes', which is not"):
        open_checkpoint(folder)
    _edit_json(folder / "config.json", quantization_config=None, model_type="llama")
    with pytest.raises(FormatError, match="model_type 'llama' is not supported"):
        open_checkpoint(folder)


@pytest.mark.parametrize("model_type", ["gemma4_assistant", "gemma4_unified_assistant"])
def test_the_folder_of_a_drafter_is_named_for_what_it_is(tmp_path: Path, model_type: str) -> None:
    folder = _folder(tmp_path / "hf")
    text = json.loads((folder / "config.json").read_text()) | {"num_kv_shared_layers": 2}
    outer = {"model_type": model_type, "backbone_hidden_size": 1536, "text_config": text}
    (folder / "config.json").write_text(json.dumps(outer))
    with pytest.raises(FormatError, match=f"'{model_type}' is Gemma 4's drafter, which .* folder"):
        open_checkpoint(folder)


def test_a_folder_that_only_speaks_of_quantization_is_plain(tmp_path: Path) -> None:
    """As those that were trained for Q4_0 and left in bfloat16: what the files hold decides."""
    folder = _folder(tmp_path / "hf")
    _edit_json(folder / "config.json", quantization_config={"bits": 4, "format": "q4_0"})
    with open_checkpoint(folder) as checkpoint:
        assert {checkpoint.describe(name).encoding for name in checkpoint.names()} <= {
            "F32",
            "BF16",
        }


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; --checkpoint wants"):
        open_checkpoint(tmp_path / "nothing")
    with pytest.raises(FormatError, match=r"holds no config.json"):
        open_checkpoint(tmp_path)
    (tmp_path / "x.gguf").write_bytes(b"PK\3\4")
    with pytest.raises(FormatError, match="is neither a folder nor a GGUF file"):
        open_checkpoint(tmp_path / "x.gguf")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(FormatError, match="must hold a JSON object"):
        open_checkpoint(tmp_path)


def _quantized(name: str, shape: tuple[int, ...]) -> tuple[GgmlType, np.ndarray]:
    """Linears in Q4_0, the embedding in Q8_0, vectors as they are."""
    kind, values = tiny_gguf.random_f32(name, shape)
    if len(shape) == 1:
        return kind, values
    target = "Q8_0" if name.startswith("embed") else "Q4_0"
    return ggml_types.BY_NAME[target], gguf.quantize(values, gguf.GGMLQuantizationType[target])


def _gguf(
    path: Path,
    config: GemmaConfig = _GEMMA3,
    pairs: dict[str, bytes] | None = None,
    tensors: dict[str, Any] | None = None,
) -> Path:
    """A whole file, with some metadata and tensors replaced or added."""
    entries = {**tiny_gguf.metadata(config), **(pairs or {})}
    weights = {**tiny_gguf.tensors(config, _quantized), **(tensors or {})}
    path.write_bytes(gguf_bytes.gguf_file(list(entries.values()), list(weights.values())))
    return path


@pytest.mark.parametrize("config", [_GEMMA3, _GEMMA4], ids=lambda config: config.name)
def test_a_gguf_file(tmp_path: Path, config: GemmaConfig) -> None:
    with open_checkpoint(_gguf(tmp_path / "a.gguf", config)) as checkpoint:
        assert checkpoint.names() == tuple(expected_weights(config))
        up, norm = checkpoint.read(_UP), checkpoint.read(_NORM)
        assert isinstance(up, BlockTensor)
        assert (up.type, up.rows, up.columns) == (ggml_types.Q4_0, 512, 256)
        expected = _quantized(_UP, (512, 256))[1]
        assert up.blocks.tobytes() == expected.tobytes()
        assert np.array_equal(_dense(norm).numpy(), tiny_gguf.random_f32(_NORM, (256,))[1])
        info = checkpoint.describe(_UP)
        assert (info.encoding, info.shape, info.bytes) == ("Q4_0", (512, 256), 512 * 8 * 18)
        assert checkpoint.config.num_layers == 2
        tokenizer = checkpoint.tokenizer
        assert isinstance(tokenizer, GgufTokenizer)
        assert list(tokenizer.tokens) == tiny_gguf.tokens_of(config)
        assert (tokenizer.bos_id, tokenizer.add_bos, tokenizer.unknown_id) == (2, True, None)


def test_stop_ids_of_a_gguf_file(tmp_path: Path) -> None:
    assert open_checkpoint(_gguf(tmp_path / "3.gguf")).generation.stop_ids == (1, 4)
    key = "tokenizer.ggml.eot_token_id"
    more = {key: number_pair(key, U32, 9)}
    path = _gguf(tmp_path / "4.gguf", _GEMMA4, more)
    assert open_checkpoint(path).generation.stop_ids == (1, 5, 6, 9)


def _factors(turning: int, rest: float = 1e30) -> dict[str, Any]:
    count = _GEMMA4.full.head_dim // 2
    values = np.array([1.0] * turning + [rest] * (count - turning), dtype=np.float32)
    return {"rope_freqs.weight": ("rope_freqs.weight", ggml_types.F32, values, (count,))}


def test_rope_factors_are_checked_and_not_offered(tmp_path: Path) -> None:
    turning = _GEMMA4.full.head_dim // 8
    path = tmp_path / "a.gguf"
    checkpoint = open_checkpoint(_gguf(path, _GEMMA4, tensors=_factors(turning)))
    assert not any("rope" in name for name in checkpoint.names())
    for bad in (_factors(turning + 1), _factors(turning, 8.0)):
        with pytest.raises(FormatError, match=r"rope_freqs.weight: factor"):
            open_checkpoint(_gguf(path, _GEMMA4, tensors=bad))


def test_a_repeated_embedding_is_no_head(tmp_path: Path) -> None:
    shape = (_GEMMA3.vocab_size, _GEMMA3.hidden_size)

    def head(name: str) -> dict[str, Any]:
        return {"output.weight": ("output.weight", *_quantized(name, shape), shape)}

    same = open_checkpoint(_gguf(tmp_path / "a.gguf", tensors=head("embed_tokens.weight")))
    assert "lm_head.weight" not in same.names()
    other = open_checkpoint(_gguf(tmp_path / "b.gguf", tensors=head("lm_head.weight")))
    assert other.names()[-1] == "lm_head.weight"


_ZERO = (ggml_types.F32, np.zeros(1, dtype=np.float32), (1,))


@pytest.mark.parametrize(
    ("pairs", "tensors", "problem"),
    [
        ([text_pair("general.architecture", "llama")], [], "architecture 'llama' is not supported"),
        (
            [text_pair("general.architecture", "gemma4-assistant")],
            [],
            "architecture 'gemma4-assistant' is Gemma 4's drafter, which .* the model's own file",
        ),
        ([], [("blk.0.ffn_gate_exps.weight", *_ZERO)], "ffn_gate_exps.weight: unknown tensor"),
        ([], [("blk.x.ffn_up.weight", *_ZERO)], "blk.x.ffn_up.weight: unknown tensor"),
        ([], [("blk.0.ffn_up.weight", *_ZERO)], "up_proj.weight is 1, gemma3 needs 512 x 256"),
        ([number_pair("gemma3.block_count", U32, 3)], [], "is not 3 booleans"),
        ([number_pair("split.count", U32, 2)], [], "is one of 2 splits, so it must be named"),
        ([text_pair("split.count", "two")], [], "is one of 'two' splits"),
        ([number_pair("tokenizer.ggml.bos_token_id", U32, 256)], [], "256 is outside"),
        ([text_pair("tokenizer.ggml.bos_token_id", "2")], [], "bos_token_id = '2'"),
        ([text_pair("tokenizer.ggml.eos_token_id", "a")], [], "'a'"),
        ([text_pair("tokenizer.ggml.merges", "a b")], [], "must be arrays of strings"),
        ([pair("tokenizer.ggml.scores", ARRAY, gguf_bytes.array(F32, []))], [], "scores must have"),
    ],
)
def test_bad_gguf_files(
    tmp_path: Path, pairs: list[bytes], tensors: list[Any], problem: str
) -> None:
    by_key = {entry[8 : 8 + entry[0]].decode(): entry for entry in pairs}
    with pytest.raises(FormatError, match=problem):
        open_checkpoint(_gguf(tmp_path / "a.gguf", _GEMMA3, by_key, {t[0]: t for t in tensors}))


def _splits(folder: Path, numbers: tuple[int, ...] = (0, 1), promised: int | None = None) -> Path:
    weights = list(tiny_gguf.tensors(_GEMMA3, _quantized).values())
    count = len(weights) if promised is None else promised
    for position, part in enumerate((weights[:5], weights[5:])):
        pairs = [
            number_pair("split.no", U16, numbers[position]),
            number_pair("split.count", U16, 2),
            number_pair("split.tensors.count", I32, count),
        ]
        if position == 0:
            pairs += tiny_gguf.metadata(_GEMMA3).values()
        path = folder / f"m-0000{position + 1}-of-00002.gguf"
        path.write_bytes(gguf_bytes.gguf_file(pairs, part))
    return folder / "m-00001-of-00002.gguf"


def test_splits_are_one(tmp_path: Path) -> None:
    first = _splits(tmp_path)
    for path in (first, first.with_name("m-00002-of-00002.gguf")):
        checkpoint = open_checkpoint(path)
        assert isinstance(checkpoint, GgufCheckpoint)
        assert checkpoint.names() == tuple(expected_weights(_GEMMA3))
        assert isinstance(checkpoint.read(_UP), BlockTensor)


@pytest.mark.parametrize("kind", ["hf", "gguf"])
def test_the_announced_bytes_are_those_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    announced: list[tuple[Path, int, int]] = []
    monkeypatch.setattr(
        ByteSource, "will_read", lambda source, start, n: announced.append((source.path, start, n))
    )
    with open_checkpoint(
        _folder(tmp_path / "hf") if kind == "hf" else _splits(tmp_path)
    ) as checkpoint:
        for name in (_UP, _NORM):
            checkpoint.will_read(name)
            stored = checkpoint.read(name)
            ((path, start, count),) = announced
            data = path.read_bytes()[start : start + count]
            assert len(data) == count == checkpoint.describe(name).bytes
            if isinstance(stored, BlockTensor):
                assert data == stored.blocks.tobytes()
            elif kind == "gguf" or name == _UP:
                assert data == _dense(stored).view(torch.uint8).numpy().tobytes()
            announced.clear()


def test_announcing_changes_nothing(tmp_path: Path) -> None:
    with open_checkpoint(_folder(tmp_path / "hf")) as checkpoint:
        before = _dense(checkpoint.read(_UP))
        checkpoint.will_read(_UP)
        assert torch.equal(_dense(checkpoint.read(_UP)), before)


def test_broken_splits(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not split 2 of 2, though its name says so"):
        open_checkpoint(_splits(tmp_path, numbers=(0, 0)))
    with pytest.raises(FormatError, match="999 were promised"):
        open_checkpoint(_splits(tmp_path, promised=999))
    first = _splits(tmp_path)
    first.with_name("m-00002-of-00002.gguf").unlink()
    with pytest.raises(FormatError, match=r"m-00002-of-00002.gguf: is missing: it is split 2 of"):
        open_checkpoint(first)
