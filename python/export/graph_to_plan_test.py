"""The plan computes what the eager model computes, for every method, chunk length and model."""

import dataclasses
import functools

import pytest
import torch

from python.export import plan as p
from python.export.graph_to_plan import graph_to_plan
from python.export.pattern import GraphError
from python.export.plan_check import validate, validate_together
from python.export.reference_plan import ReferencePlan, Session
from python.export.trace import Limits, trace
from python.model.config import tiny_gemma3, tiny_gemma4
from python.model.rope import rope_frequencies
from python.model.transformer import GemmaModel

WINDOW, CHUNK, CONTEXT, LENGTH = 6, 13, 64, 30
TOLERANCE = 1e-5
_SIZES = {"num_layers": 2, "window": WINDOW, "hidden_size": 64, "intermediate_size": 96}
CONFIGS = {
    "gemma4": tiny_gemma4(**_SIZES),
    "gemma3": tiny_gemma3(**_SIZES),
    "own head": tiny_gemma3(**_SIZES, tied_embeddings=False),
}
LIMITS = Limits(max_context=CONTEXT, max_tokens=CHUNK, cache_dtype=torch.float32)
TOKENS = torch.randint(0, 256, (1, LENGTH), generator=torch.Generator().manual_seed(3))


@functools.cache
def _plan(name: str, method: str) -> p.Plan:
    plan = graph_to_plan(trace(CONFIGS[name], LIMITS, method), CONFIGS[name], LIMITS, method)
    validate(plan)
    return plan


@functools.cache
def _model(name: str) -> GemmaModel:
    """The eager model with random weights, norms and layer scalars included."""
    config = CONFIGS[name]
    model = GemmaModel(config, max_context=CONTEXT, max_chunk=CHUNK)
    generator = torch.Generator().manual_seed(5)
    for name, tensor in model.state_dict().items():
        if name.endswith(("norm.weight", "layer_scalar")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.05)
    return model


def _weights(model: GemmaModel) -> dict[str, torch.Tensor]:
    weights = {name: t if t.ndim == 2 else t[None] for name, t in model.state_dict().items()}
    for kind in ("sliding", "full"):
        weights[f"rope.{kind}.frequencies"] = rope_frequencies(getattr(model.config, kind))[None]
    return weights


@functools.cache
def _eager(name: str) -> torch.Tensor:
    """Logits [tokens, vocabulary] of the whole sequence, in chunks as long as the caches allow."""
    model = _model(name)
    parts = [
        model(TOKENS[:, start : start + CHUNK], torch.tensor([start]))
        for start in range(0, LENGTH, CHUNK)
    ]
    return torch.cat(parts, dim=1)[0]


def _check(what: str, found: torch.Tensor, expected: torch.Tensor) -> None:
    error = (found - expected).abs().max().item()
    print(f"{what}: error {error:.1e}, {error / TOLERANCE:.0%} of the tolerance")
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("chunk", [1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW + 1])
def test_prefill(name: str, chunk: int) -> None:
    plan = _plan(name, "prefill")
    runner, session = ReferencePlan(plan, _weights(_model(name))), Session(plan)
    expected = _eager(name)
    for start in range(0, LENGTH, chunk):
        tokens = TOKENS[0, start : start + chunk]
        result = runner.run(session, tokens, start)
        assert result.logits is not None
        _check(
            f"{name} after {start + len(tokens)}", result.logits, expected[start + len(tokens) - 1]
        )


@pytest.mark.parametrize("name", CONFIGS)
def test_decode_after_prefill(name: str) -> None:
    weights = _weights(_model(name))
    expected = _eager(name)
    prefill, decode = _plan(name, "prefill"), _plan(name, "decode")
    session = Session(prefill)
    ReferencePlan(prefill, weights).run(session, TOKENS[0, :CHUNK], 0, emit=False)
    runner = ReferencePlan(decode, weights)
    for position in range(CHUNK, LENGTH):
        result = runner.run(session, TOKENS[0, position : position + 1], position)
        assert result.logits is not None
        _check(f"{name} at {position}", result.logits, expected[position])


@pytest.mark.parametrize("name", CONFIGS)
def test_score(name: str) -> None:
    plan = _plan(name, "score")
    runner, session = ReferencePlan(plan, _weights(_model(name))), Session(plan)
    logprobs = torch.log_softmax(_eager(name), dim=1)
    targets = torch.cat([TOKENS[0, 1:], torch.tensor([-1])])
    for start in range(0, LENGTH, CHUNK):
        part = slice(start, start + CHUNK)
        result = runner.run(session, TOKENS[0, part], start, targets=targets[part])
        assert result.logprob is not None
        assert result.top_ids is not None
        expected = logprobs[part].gather(1, targets[part].clamp(min=0)[:, None])[:, 0]
        known = targets[part] >= 0
        if known.any():
            _check(f"{name} from {start}", result.logprob[known], expected[known])
        assert result.logprob[~known].isnan().all()
        assert result.top_ids.tolist() == logprobs[part].topk(5).indices.tolist()


@pytest.mark.parametrize("name", CONFIGS)
def test_methods_agree_and_use_every_weight_of_the_model(name: str) -> None:
    plans = [_plan(name, method) for method in p.Plan.METHODS]
    validate_together(plans)
    expected = set(_weights(_model(name)))
    for plan in plans:
        assert {weight.name for weight in plan.weights} == expected


def test_the_steps_of_a_layer_are_fused() -> None:
    steps = [s for s in _plan("gemma4", "prefill").steps if s.name.startswith("layers.1.")]
    assert [type(step.operation).__name__ for step in steps] == [
        "RmsNorm", "Linear", "PrepareAttention", "Attention", "Linear", "RmsNorm",
        "RmsNorm", "Linear", "GatedGelu", "Linear", "RmsNorm",
    ]  # fmt: skip
    prepare = steps[2].operation
    assert isinstance(prepare, p.PrepareAttention)
    assert prepare.v == p.ABSENT  # full layers of Gemma 4 take values from keys
    last = steps[-1].operation
    assert isinstance(last, p.RmsNorm)
    assert last.add != p.ABSENT
    assert last.scalar != p.ABSENT


def test_cache_types_and_windows() -> None:
    limits = dataclasses.replace(LIMITS, cache_dtype=torch.bfloat16)
    config = CONFIGS["gemma4"]
    plan = graph_to_plan(trace(config, limits, "decode"), config, limits, "decode")
    sliding, full = plan.caches
    assert (sliding.window, sliding.capacity, sliding.dtype) == (
        WINDOW,
        WINDOW - 1 + CHUNK,
        p.DType.BF16,
    )
    assert (full.window, full.capacity, full.kv_heads) == (0, CONTEXT, 1)


class _WithRelu(GemmaModel):
    def hidden(self, tokens: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        return super().hidden(tokens, start).relu()


def test_a_node_that_no_pass_understands_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("python.export.trace.GemmaModel", _WithRelu)
    program = trace(CONFIGS["gemma3"], LIMITS, "score")
    with pytest.raises(GraphError, match=r"no pass understands node relu \(aten.relu.default\)"):
        graph_to_plan(program, CONFIGS["gemma3"], LIMITS, "score")
