"""A shape exports to plans of the model's full size and a weights file with rope tables alone."""

import json
from pathlib import Path

import pytest

from python.console.errors import UserError
from python.export import export
from python.export.shape_checkpoint import ShapeCheckpoint
from python.model.named_configs import tiny_gemma4
from python.quant.recipe import recipe


def export_tiny(output: Path, *, computed_only: bool) -> export.PreparedExport:
    config = tiny_gemma4()
    options = export.Options(max_seq_len=32, max_prefill_chunk=8, kv_cache_dtype="float16")
    checkpoint = ShapeCheckpoint(config)
    return export.export_artifact(
        checkpoint,
        export.read_config(checkpoint),
        recipe("default", config.num_layers, Path()),
        options,
        output,
        computed_only=computed_only,
    )


def test_only_computed_weights_are_written(tmp_path: Path) -> None:
    prepared = export_tiny(tmp_path / "artifact", computed_only=True)
    assert len(prepared.plans) == 3
    names = [weight.name for weight in prepared.table.computed(prepared.prefill.weights)]
    assert names and all(name.startswith("rope.") for name in names)
    size = (tmp_path / "artifact" / "model.ptd").stat().st_size
    assert size < 4096 < sum(shape.bytes for shape in prepared.shapes.values())
    manifest = json.loads((tmp_path / "artifact" / "manifest.json").read_text())
    assert {file["name"] for file in manifest["files"]} == {"model.pte", "model.ptd"}


def test_a_whole_export_of_a_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no weights"):
        export_tiny(tmp_path / "artifact", computed_only=False)
