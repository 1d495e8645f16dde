"""Artifacts: what is in them, and that they appear whole or not at all, the same every time."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.exir.schema import Bool, Int
from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

from python.artifact import manifest
from python.checkpoint.checkpoint import Checkpoint, HuggingFaceTokenizer
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import DenseTensor, StoredTensor
from python.checkpoint.testing import synthetic
from python.checkpoint.testing.fake_checkpoint import FakeCheckpoint
from python.console.errors import UserError
from python.export import export, lower
from python.export.build_plan import build_plan
from python.export.ptd_writer import PtdWriter
from python.export.testing.make_tiny_checkpoint import CHAT_TEMPLATE, tiny_config, tokenizer_json
from python.model.gemma_config import GemmaConfig
from python.model.load import load_weights
from python.model.transformer import GemmaModel
from python.model.weight_names import expected_weights
from python.pack import layouts
from python.pack.testing import unpack
from python.plan import plan as p
from python.plan import plan_bytes
from python.plan.testing.reference_plan import ReferencePlan, Session
from python.quant.recipe import recipe

CONFIG = tiny_config(num_layers=2)
OPTIONS = export.Options(max_seq_len=48, max_prefill_chunk=20, kv_cache_dtype="float32")
TOKENS = torch.randint(0, CONFIG.vocab_size, (40,), generator=torch.Generator().manual_seed(1))


def _tensors(config: GemmaConfig, dtype: torch.dtype = torch.float32) -> dict[str, DenseTensor]:
    generator = torch.Generator().manual_seed(2)
    tensors = {}
    for name, shape in expected_weights(config).items():
        values = torch.randn(shape, generator=generator) * 0.1 + float(len(shape) == 1)
        tensors[name] = DenseTensor(values=values.to(dtype))
    return tensors


def _fake(folder: Path, dtype: torch.dtype = torch.float32) -> FakeCheckpoint:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(tokenizer_json(CONFIG.vocab_size)))
    tokenizer = HuggingFaceTokenizer(path=path, config={}, chat_template=CHAT_TEMPLATE)
    return FakeCheckpoint(CONFIG, _tensors(CONFIG, dtype), tokenizer=tokenizer)


def _export(
    checkpoint: Checkpoint, output: Path, name: str = "none", **more: Any
) -> export.PreparedExport:
    config = export.read_config(checkpoint)
    chosen = recipe(name, config.num_layers)
    return export.export_artifact(checkpoint, config, chosen, OPTIONS, output, **more)


@pytest.fixture(scope="module", autouse=True)
def _plans_are_built_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("python.export.export.build_plan", functools.cache(build_plan))
        yield


@pytest.fixture
def without_lowering(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that do not look at the program, which takes seconds to make."""
    monkeypatch.setattr(lower, "lower", lambda plans, constants: b"program")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    _export(_fake(folder), folder / "artifact")
    return folder / "artifact"


def _plans(artifact: Path) -> dict[str, p.Plan]:
    program = deserialize_pte_binary((artifact / export.PROGRAM_FILE).read_bytes()).program
    plans = {}
    for method in program.execution_plan:
        if not method.delegates:
            continue
        index = method.delegates[0].processed.index
        plans[method.name] = plan_bytes.from_bytes(bytes(program.backend_delegate_data[index].data))
    return plans


def _weights(artifact: Path, plan: p.Plan) -> dict[str, torch.Tensor]:
    """The artifact's weights, read by ExecuTorch's reader and dequantized."""
    content = (artifact / export.WEIGHTS_FILE).read_bytes()
    payload = FlatTensorSerializer().deserialize(content)
    assert set(payload.named_data) == {weight.data_key for weight in plan.weights}
    weights = {}
    for weight in plan.weights:
        data = payload.buffers[payload.named_data[weight.data_key].buffer_index]
        packed = layouts.PackedWeight(shape=weight.shape, data=np.frombuffer(data, dtype=np.uint8))
        weights[weight.name] = torch.as_tensor(unpack.unpack(packed))
    return weights


def test_the_program_says_what_the_manifest_says(artifact: Path) -> None:
    """ExecuTorch's constant methods."""
    program = deserialize_pte_binary((artifact / export.PROGRAM_FILE).read_bytes()).program
    returned = {
        method.name: [value.val for value in method.values]
        for method in program.execution_plan
        if not method.delegates
    }
    described = manifest.read(artifact)
    assert returned["get_max_seq_len"] == [Int(described.max_seq_len)]
    assert returned["get_max_prefill_chunk"] == [Int(described.max_prefill_chunk)]
    assert returned["get_vocab_size"] == [Int(CONFIG.vocab_size)]
    assert returned["get_n_layers"] == [Int(CONFIG.num_layers)]
    assert returned["use_kv_cache"] == returned["enable_dynamic_shape"] == [Bool(True)]
    assert described.tokenizer is not None
    assert returned["get_bos_id"] == [Int(described.tokenizer.bos_id)]
    assert returned.get("get_eos_ids", []) == [Int(token) for token in described.tokenizer.stop_ids]


def test_the_folder_is_what_the_manifest_says(artifact: Path) -> None:
    read = manifest.read(artifact)
    manifest.check_files(artifact, read)
    assert {entry.name for entry in read.files} == {
        *("model.pte", "model.ptd", "tokenizer.bin", "chat_template.jinja")
    }
    (weights,) = (entry for entry in read.files if entry.name == "model.ptd")
    assert weights.sections is not None
    assert weights.sections.sha256 == (weights.sha256,)  # there is one only
    assert GemmaConfig.from_json(read.config) == export.read_config(_fake(artifact.parent))
    assert (read.max_seq_len, read.max_prefill_chunk, read.recipe) == (48, 20, "none")
    assert read.tokenizer is not None
    assert read.tokenizer.stop_ids == CONFIG.stop_ids
    assert read.tokenizer.chat_template == "gemma4"
    assert read.tokenizer.chat_template_file == "chat_template.jinja"
    assert (artifact / "chat_template.jinja").read_text() == CHAT_TEMPLATE


@pytest.mark.parametrize(("text", "noted"), [(None, False), ("<|im_start|>user", True)])
def test_the_manifest_names_no_template_that_the_checkpoint_has_not(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    without_lowering: None,
    text: str | None,
    noted: bool,
) -> None:
    checkpoint = _fake(tmp_path)
    assert isinstance(checkpoint.tokenizer, HuggingFaceTokenizer)
    checkpoint.tokenizer = dataclasses.replace(checkpoint.tokenizer, chat_template=text)
    _export(checkpoint, tmp_path / "artifact")
    entry = manifest.read(tmp_path / "artifact").tokenizer
    assert entry is not None
    assert entry.chat_template is None
    assert (entry.chat_template_file is not None) == noted  # it travels all the same
    assert ("chat template does what none of gemma3, gemma4" in capsys.readouterr().err) == noted


def test_the_artifact_computes_what_the_model_computes(artifact: Path) -> None:
    tensors = _tensors(CONFIG)
    model = GemmaModel(CONFIG, max_context=48, max_chunk=20)
    load_weights(model, ((name, tensor.values) for name, tensor in tensors.items()))
    expected = [
        model(TOKENS[None, start : start + 20], torch.tensor([start]))[0, -1] for start in (0, 20)
    ]
    plan = _plans(artifact)["prefill"]
    runner, session = ReferencePlan(plan, _weights(artifact, plan)), Session(plan)
    for start, logits in zip((0, 20), expected, strict=True):
        result = runner.run(session, TOKENS[start : start + 20], start)
        torch.testing.assert_close(result.logits, logits, atol=1e-5, rtol=1e-5)


_EXPORT_AGAIN = """
import sys
from pathlib import Path
from python.export import export_test
folder = Path(sys.argv[1])
export_test._export(export_test._fake(folder), folder / "again")
"""


def test_another_process_writes_the_same_bytes(artifact: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", _EXPORT_AGAIN, str(tmp_path)]
    subprocess.run(command, env=environment, check=True)
    for file in artifact.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_recipe_decides_the_layouts(tmp_path: Path, without_lowering: None) -> None:
    prepared = _export(_fake(tmp_path), tmp_path / "artifact", "default")
    for plan in prepared.plans:
        shapes = {w.name: (w.layout, w.group) for w in plan.weights}
        assert shapes["embed_tokens.weight"] == (p.Layout.INT8, 32)
        assert shapes["layers.0.mlp.up_proj.weight"] == (p.Layout.INT4, 32)
        assert shapes["layers.0.input_layernorm.weight"] == (p.Layout.F32, 0)
    weights = _weights(tmp_path / "artifact", prepared.prefill)
    stored = _tensors(CONFIG)["layers.0.mlp.up_proj.weight"].values
    error = (weights["layers.0.mlp.up_proj.weight"] - stored).norm() / stored.norm()
    assert 0.001 < error < 0.15


def test_a_hugging_face_folder_in_bfloat16_is_kept(tmp_path: Path, without_lowering: None) -> None:
    synthetic.write_checkpoint(tmp_path / "checkpoint", CONFIG, dtype=torch.bfloat16)
    with open_checkpoint(tmp_path / "checkpoint") as checkpoint:
        assert export.read_config(checkpoint).embed_scale_dtype == "bfloat16"
        prepared = _export(checkpoint, tmp_path / "artifact")
    read = manifest.read(tmp_path / "artifact")
    assert read.tokenizer is None
    assert not (tmp_path / "artifact" / "tokenizer.bin").exists()
    assert prepared.prefill.weights[0].layout is p.Layout.BF16
    embed = prepared.prefill.steps[0].operation
    assert isinstance(embed, p.Embed)
    assert embed.scale == 16.0


class _Watched(FakeCheckpoint):
    """Weighs the tensors that it gave out and that are still alive when the next one is read."""

    def __init__(self, checkpoint: FakeCheckpoint) -> None:
        super().__init__(checkpoint.config, checkpoint._tensors)
        self.given: list[weakref.ref[np.ndarray]] = []  # the memory that tensors stand on
        self.most_bytes = 0
        self.second_read = threading.Event()

    def read(self, name: str) -> StoredTensor:
        alive = [
            memory.nbytes for memory in (given() for given in self.given) if memory is not None
        ]
        stored = super().read(name)
        assert isinstance(stored, DenseTensor)
        memory = stored.values.numpy().copy()
        self.most_bytes = max(self.most_bytes, sum(alive) + memory.nbytes)
        self.given.append(weakref.ref(memory))
        if len(self.given) == 2:
            self.second_read.set()
        return DenseTensor(values=torch.from_numpy(memory))


def test_no_more_than_twice_the_largest_weight_is_in_memory(
    tmp_path: Path, without_lowering: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is stored and as it is packed: here that is one tensor.

    The disk is slower than all else, and begins when the second weight is read.
    """
    checkpoint, write = _Watched(_fake(tmp_path)), PtdWriter.write

    def write_slowly(writer: PtdWriter, key: str, data: memoryview) -> None:
        assert checkpoint.second_read.wait(timeout=60)
        time.sleep(0.005)
        write(writer, key, data)

    monkeypatch.setattr(PtdWriter, "write", write_slowly)
    _export(checkpoint, tmp_path / "artifact", "none")
    assert len(checkpoint.given) == len(expected_weights(CONFIG))
    largest = max(tensor.values.nbytes for tensor in _tensors(CONFIG).values())
    print(f"{checkpoint.most_bytes} bytes alive, the largest weight has {largest}")
    assert largest < checkpoint.most_bytes <= 2 * largest


class _Failing(FakeCheckpoint):
    """Fails in the middle of the weights."""

    failure: BaseException

    def read(self, name: str) -> StoredTensor:
        if name.startswith("layers.1."):
            raise self.failure
        return super().read(name)


@pytest.mark.parametrize("failure", [UserError("the disk is on fire"), KeyboardInterrupt()])
def test_a_failed_export_leaves_nothing(
    tmp_path: Path, without_lowering: None, failure: BaseException
) -> None:
    checkpoint = _Failing(CONFIG, _tensors(CONFIG))
    checkpoint.failure = failure
    (tmp_path / "here").mkdir()
    with pytest.raises(type(failure)):
        _export(checkpoint, tmp_path / "here" / "artifact")
    assert list((tmp_path / "here").iterdir()) == []


def test_an_existing_artifact_is_replaced_only_when_told(
    artifact: Path, tmp_path: Path, without_lowering: None
) -> None:
    before = {file.name: file.read_bytes() for file in artifact.iterdir()}
    with pytest.raises(UserError, match="exists; pass --overwrite to replace it"):
        _export(_fake(tmp_path), artifact)
    failing = _Failing(CONFIG, _tensors(CONFIG))
    failing.failure = UserError("no")
    with pytest.raises(UserError, match="no"):
        _export(failing, artifact, overwrite=True)
    assert {file.name: file.read_bytes() for file in artifact.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"max_seq_len": 513}, "max_seq_len 513 is outside 1 to 512, the positions of tiny_gemma4"),
        ({"max_prefill_chunk": 49}, "max_prefill_chunk 49 is outside 1 to 48"),
        ({"max_prefill_chunk": 0}, "max_prefill_chunk 0 is outside 1 to 48"),
        ({"activation_precision": "int8"}, "activation_precision int8 is unknown"),
        ({"kv_cache_dtype": "bfloat16"}, "kv_cache_dtype bfloat16 is unknown .use float16 or"),
    ],
)
def test_refuses_limits_that_the_model_cannot_hold(changes: dict[str, Any], sentence: str) -> None:
    options = export.Options(**{**vars(OPTIONS), **changes})
    with pytest.raises(UserError, match=sentence):
        options.limits(CONFIG)


@pytest.mark.parametrize(
    ("cache", "asked", "expected"),
    [
        ("float32", None, "FLOAT16_PAIRS"),
        ("float16", None, "FLOAT16"),
        ("float32", "float16", "FLOAT16"),
        ("float16", "float16_pairs", "FLOAT16_PAIRS"),
    ],
)
def test_the_precision_follows_the_caches_unless_it_is_stated(
    cache: str, asked: str | None, expected: str
) -> None:
    options = dataclasses.replace(OPTIONS, kv_cache_dtype=cache, activation_precision=asked)
    assert options.limits(CONFIG).activations is p.ActivationPrecision[expected]


def test_refuses_a_tokenizer_that_is_larger_than_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tokenizer_json(CONFIG.vocab_size + 1)))
    source = HuggingFaceTokenizer(path=path, config={})
    with pytest.raises(UserError, match="has 513 pieces, the model only 512 embeddings"):
        export.read_tokenizer(source, CONFIG)
