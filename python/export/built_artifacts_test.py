"""What the rule `exported_model` builds: whole artifacts, with the layouts that were asked for."""

import json
import os
from pathlib import Path

import pytest
from executorch.exir._serialize._program import deserialize_pte_binary

from python.artifact import manifest
from python.plan import plan as p
from python.plan import plan_bytes


def _artifact(name: str) -> Path:
    return Path(os.environ[name])


def _prefill(artifact: Path) -> p.Plan:
    program = deserialize_pte_binary((artifact / "model.pte").read_bytes()).program
    method = next(m for m in program.execution_plan if m.name == "prefill")
    index = method.delegates[0].processed.index
    return plan_bytes.from_bytes(bytes(program.backend_delegate_data[index].data))


@pytest.mark.parametrize("name", ["PLAIN", "INT4", "CALIBRATED"])
def test_it_is_whole(name: str) -> None:
    artifact = _artifact(name)
    described = manifest.read(artifact)
    manifest.check_files(artifact, described)
    assert (described.max_seq_len, described.max_prefill_chunk) == (256, 40)
    assert described.tokenizer is not None


def test_layouts_and_cache_types() -> None:
    plain, int4 = _prefill(_artifact("PLAIN")), _prefill(_artifact("INT4"))
    assert {weight.layout for weight in plain.weights} == {p.Layout.F32}
    assert {cache.dtype for cache in plain.caches} == {p.DType.F32}
    assert {weight.layout for weight in int4.weights} == {
        p.Layout.F32,
        p.Layout.INT4,
        p.Layout.INT8,
    }
    assert {cache.dtype for cache in int4.caches} == {p.DType.F16}
    assert plain.activations is p.ActivationPrecision.FLOAT16_PAIRS
    assert int4.activations is p.ActivationPrecision.FLOAT16


def test_calibration_inside_the_build() -> None:
    """The folder says on which text, and the artifact has its integers."""
    told = json.loads((Path(os.environ["CALIBRATED_FOLDER"]) / "quantization.json").read_text())
    assert told["recipe_name"] == "calibrated"
    assert (told["calibration"]["sequences"], told["calibration"]["tokens_each"]) == (1, 512)
    layouts = {weight.layout for weight in _prefill(_artifact("CALIBRATED")).weights}
    assert layouts == {p.Layout.F32, p.Layout.INT4, p.Layout.INT8}


def test_the_stages_timings() -> None:
    stages = json.loads(Path(os.environ["TIMINGS"]).read_text())
    assert {"trace", "lower", "weights"} < {stage["stage"] for stage in stages}
