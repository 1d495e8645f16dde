"""Tests of inspect: every kind of file, both formats, and damaged files."""

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from python.artifact import manifest as manifests
from python.checkpoint.testing import synthetic, tiny_gguf
from python.console import listing
from python.console.errors import FormatError, UserError
from python.inspect.main import inspect
from python.inspect.program_reader import read_program
from python.inspect.ptd_reader import read_ptd
from python.model.named_configs import tiny_gemma4

_ARTIFACTS = Path("python/export")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    shutil.copytree(_ARTIFACTS / "tiny_gemma4_int4_artifact", folder)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


def _json(path: Path, *, steps: bool = False) -> dict[str, Any]:
    return json.loads(listing.to_json(inspect(path, steps=steps)))


def test_an_artifact(artifact: Path) -> None:
    found = _json(artifact, steps=True)
    assert (found["kind"], found["problem"], found["recipe"]) == ("artifact", None, "default")
    assert {row["method"] for row in found["methods"]} == {"decode", "prefill", "score"}
    constants = {row["method"]: row["returns"] for row in found["constants"]}
    described = manifests.read(artifact)
    assert constants["get_max_seq_len"] == str(described.max_seq_len)
    assert constants["use_kv_cache"] == "True"
    layouts = {row["layout"]: row for row in found["layouts"]}
    assert layouts["INT4"]["bits_per_weight"] == 4.5
    weights = {row["name"]: row for row in found["weights"]}
    assert weights["embed_tokens.weight"]["layout"] == "INT8"
    assert sum(row["bytes"] for row in found["layouts"]) == sum(
        w["bytes"] for w in weights.values()
    )
    assert found["steps of decode"][0] == {"step": "embed_tokens", "operation": "Embed"}
    text = listing.to_text(inspect(artifact))
    assert "layers.0.kv_cache" in text
    assert "steps of decode" not in text


def test_an_incomplete_artifact_says_what_is_wrong(artifact: Path) -> None:
    with open(artifact / "model.ptd", "r+b") as file:
        file.truncate(1000)
    assert "has 1000 bytes, the manifest says" in _json(artifact)["problem"]
    (artifact / "model.ptd").unlink()
    assert "No such file" in _json(artifact)["problem"]


def test_program_and_weights_alone_agree(artifact: Path) -> None:
    program, weights = _json(artifact / "model.pte"), _json(artifact / "model.ptd")
    assert {row["key"]: row["bytes"] for row in weights["blobs"]} == {
        row["name"]: row["bytes"] for row in program["weights"]
    }
    assert manifests.read(artifact).methods == tuple(
        sorted(row["method"] for row in program["methods"])
    )


def test_a_gguf_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf.build(tiny_gemma4(num_layers=1)))
    found = _json(path)
    assert found["kind"] == "GGUF file"
    metadata = {row["key"]: row["value"] for row in found["metadata"]}
    assert metadata["general.architecture"] in ("gemma3", "gemma4")
    assert found["total"]["bytes"] == sum(row["bytes"] for row in found["tensors"])


def test_a_safetensors_folder_and_file(tmp_path: Path) -> None:
    config = tiny_gemma4(num_layers=1)
    synthetic.write_checkpoint(tmp_path / "hf", config)
    found = _json(tmp_path / "hf")
    assert (found["problem"], found["layers"]) == (None, 1)
    assert "embed_tokens.weight" in {row["name"] for row in found["tensors"]}
    (file,) = (tmp_path / "hf").glob("*.safetensors")
    assert _json(file)["total"]["tensors"] == found["total"]["tensors"]


def test_a_folder_of_another_model_is_listed_with_the_reason(tmp_path: Path) -> None:
    save_file({"a.weight": torch.zeros(2, 3)}, tmp_path / "model.safetensors")
    found = _json(tmp_path)
    assert "config.json" in found["problem"]
    assert found["tensors"] == [
        {"name": "a.weight", "type": "F32", "shape": [2, 3], "bits_per_weight": 32.0, "bytes": 24}
    ]
    assert "a.weight" in listing.to_text(inspect(tmp_path))


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 100])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is none of what --path takes"):
        inspect(path)
    with pytest.raises(UserError, match="does not exist"):
        inspect(tmp_path / "absent")


def test_damaged_programs_are_refused_or_read_quickly(artifact: Path) -> None:
    """No damage may do anything but give a listing or one sentence."""
    path = artifact / "model.pte"
    whole = path.read_bytes()
    chance = random.Random(7)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 4, 32))):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 127, 128, 255))
        path.write_bytes(data[: chance.choice((len(data), chance.randrange(8, len(data))))])
        start = time.process_time()
        try:
            read_program(path)
        except FormatError as error:
            refused += 1
            assert "\n" not in str(error)
        assert time.process_time() - start < 5
    assert refused > 50


def test_damaged_indexes_are_refused_or_read(artifact: Path) -> None:
    path = artifact / "model.ptd"
    whole = path.read_bytes()
    chance = random.Random(8)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(4):
            data[chance.randrange(4096)] = chance.choice((0, 1, 127, 128, 255))
        path.write_bytes(data)
        try:
            read_ptd(path)
        except FormatError as error:
            assert "\n" not in str(error)
