"""Checkpoints in every form that is read, exported and scored.

The judge is transformers, in float32, on the weights that the form's own library dequantizes. Where no layout
holds those, it is transformers on the weights of the artifact, and their error must be the one that export states.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.stored_names import hf_from_canonical
from python.checkpoint.testing.compressed_folders import dequantized, integers, write_folder
from python.console.progress import Progress
from python.export import export
from python.pack.testing.unpack import unpack
from python.quant.recipe import recipe
from tests.golden import oracle
from tests.golden.checkpoint_forms import FORMS
from tests.golden.tiny_models_test import largest_error, prompt, score

_TOLERANCE = 1e-3  # nats
_QUIET = functools.partial(Progress, mode="none")


@pytest.fixture(autouse=True, scope="module")
def _plans_are_built_once() -> Iterator[None]:
    """A plan follows from configuration, limits and method alone, and takes most of an export's time."""
    torch.set_num_threads(1)  # for matrices this small
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "build_plan", functools.cache(export.build_plan))
        yield


@dataclass(frozen=True, kw_only=True)
class _Artifact:
    """matrices: the values that it has, float32; losses: the relative errors that export states."""

    folder: Path
    matrices: Mapping[str, torch.Tensor]
    losses: Mapping[str, float]


def _export(path: Path, output: Path, *, allow_lossy: bool) -> _Artifact:
    """With recipe `none`; the names of the matrices are transformers'."""
    with open_checkpoint(path) as checkpoint:
        config = export.read_config(checkpoint)
        rules = recipe("none", config.num_layers, path)
        options = export.Options(
            max_seq_len=128, max_prefill_chunk=70, kv_cache_dtype="float32", allow_lossy=allow_lossy
        )
        prepared = export.export_artifact(
            checkpoint, config, rules, options, output, progress=_QUIET
        )
        matrices = {
            hf_from_canonical(name): torch.from_numpy(unpack(prepared.table.make(name, shape)))
            for name, shape in prepared.shapes.items()
            if name.endswith(("proj.weight", "embed_tokens.weight", "lm_head.weight"))
        }
        losses = {hf_from_canonical(name): it for name, it in prepared.table.losses.items()}
    return _Artifact(folder=output, matrices=matrices, losses=losses)


def _check_values(artifact: _Artifact, theirs: Mapping[str, torch.Tensor], bound: float) -> None:
    """A matrix has the library's values, or is off by the error that export states, at most `bound`.

    compressed-tensors divides by a scale of NVFP4 where the artifact multiplies: one rounding more.
    """
    for name in set(theirs) & set(artifact.matrices):
        ours, values = artifact.matrices[name], theirs[name].float()
        if name in artifact.losses:
            loss = float((ours - values).norm() / values.norm())
            assert artifact.losses[name] == pytest.approx(loss, rel=1e-3), name
            assert loss <= bound, name
        else:
            torch.testing.assert_close(ours, values, rtol=2.0**-22, atol=0.0, msg=name)
    assert bool(artifact.losses) == (bound > 0)


@functools.cache
def _model(make: Any) -> Any:
    """A float32 model whose weights bfloat16 holds, as a detour over it would not leave the frequencies."""
    model = make(layers=2, window=16, seed=0)
    model.load_state_dict({name: it.to(torch.bfloat16) for name, it in model.state_dict().items()})
    return model


def _judge(make: Any, weights: Mapping[str, torch.Tensor]) -> Any:
    """transformers' model with these weights, of which the others are as before."""
    model = copy.deepcopy(_model(make))
    if "lm_head.weight" in weights:  # untied from the embedding
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    told = model.load_state_dict(weights, strict=False)
    assert weights and not told.unexpected_keys
    return model


def _stored(make: Any) -> Any:
    """The same model in bfloat16, to be quantized in place."""
    return copy.deepcopy(_model(make)).to(torch.bfloat16)


def _check_scores(title: str, judge: Any, artifact: Path) -> None:
    tokens = prompt(0)
    expected = oracle.log_probabilities(judge, tokens)
    for chunk in (1, 70):  # the products of one row, and of many
        worst = largest_error(score(artifact, tokens, chunk), tokens, expected)
        share = f"{worst / _TOLERANCE:.1%} of the tolerance"
        print(f"{title}, chunk {chunk}: error {worst:.2e} nats, {share}")
        assert worst <= _TOLERANCE


@pytest.mark.parametrize("name", FORMS)
def test_every_form_scores_as_transformers_does(tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    model = _stored(oracle.tiny_gemma4)
    path, theirs = form.write(folder, model)
    artifact = _export(path, tmp_path / "artifact", allow_lossy=form.rounded > 0)
    _check_values(artifact, theirs, form.rounded)
    worst = max(artifact.losses.values(), default=0.0)
    print(f"{name}: {len(artifact.losses)} matrices rounded, relative error at most {worst:.1e}")
    weights = artifact.matrices if form.rounded else theirs
    _check_scores(name, _judge(oracle.tiny_gemma4, weights), artifact.folder)


def test_gemma3_scores_as_transformers_does(tmp_path: Path) -> None:
    model = _stored(oracle.tiny_gemma3)
    write_folder(tmp_path / "checkpoint", model, {"g": integers(4, 32)})
    theirs = dict(dequantized(tmp_path / "checkpoint", torch.float32))
    artifact = _export(tmp_path / "checkpoint", tmp_path / "artifact", allow_lossy=False)
    _check_values(artifact, theirs, 0.0)
    _check_scores("gemma3", _judge(oracle.tiny_gemma3, theirs), artifact.folder)


def test_a_recipe_is_for_what_is_not_quantized_yet(tmp_path: Path) -> None:
    """The embedding becomes INT8 in groups of 32 under `default` and stays bfloat16 under `none`."""
    model = _stored(oracle.tiny_gemma4)
    write_folder(tmp_path, model, {"g": integers(4, 32)})
    layouts = {}
    with open_checkpoint(tmp_path) as checkpoint:
        config = export.read_config(checkpoint)
        options = export.Options(max_seq_len=128, max_prefill_chunk=70, kv_cache_dtype="float32")
        for name in ("none", "default"):
            chosen = recipe(name, config.num_layers, tmp_path)
            shapes = export.prepare_export(
                checkpoint, config, chosen, options, progress=_QUIET
            ).shapes
            layouts[name] = {
                weight: (shape.layout.name, shape.group)
                for weight, shape in shapes.items()
                if weight.endswith(("proj.weight", "embed_tokens.weight"))
            }
    assert layouts["none"].pop("embed_tokens.weight") == ("BF16", 0)
    assert layouts["default"].pop("embed_tokens.weight") == ("INT8", 32)
    assert layouts["none"] == layouts["default"]
    assert set(layouts["none"].values()) == {("INT4", 32)}
