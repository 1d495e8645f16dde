"""The plan computes what the eager model computes, for every method, chunk length and model."""

import dataclasses
import functools
from typing import Any

import pytest
import torch

from python.export.graph_to_plan import graph_to_plan
from python.export.pattern import GraphError
from python.export.trace import Limits, trace
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.model.rope import rope_frequencies
from python.model.transformer import GemmaModel
from python.plan import plan as p
from python.plan.plan_check import validate, validate_together
from python.plan.testing.reference_plan import ReferencePlan, Session

WINDOW, CHUNK, CONTEXT, LENGTH = 6, 13, 64, 30
# The plan against the eager model in the same chunks, where both multiply matrices of one size.
TOLERANCE = 1e-5
# Against the eager model in other chunks, which by itself differs by 1.2e-5 from one chunk length
# to another: sums are rounded in another order.
CHUNK_TOLERANCE = 5e-5
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
def _eager(name: str, chunk: int) -> torch.Tensor:
    """Logits [tokens, vocabulary] of the whole sequence, in chunks of `chunk` tokens."""
    model = _model(name)
    parts = [
        model(TOKENS[:, start : start + chunk], torch.tensor([start]))
        for start in range(0, LENGTH, chunk)
    ]
    return torch.cat(parts, dim=1)[0]


def _check(
    what: str, found: torch.Tensor, expected: torch.Tensor, tolerance: float = TOLERANCE
) -> None:
    error = (found - expected).abs().max().item()
    print(f"{what}: error {error:.1e}, {error / tolerance:.0%} of the tolerance")
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("chunk", [1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW + 1])
def test_prefill(name: str, chunk: int) -> None:
    plan = _plan(name, "prefill")
    runner, session = ReferencePlan(plan, _weights(_model(name))), Session(plan)
    expected, in_other_chunks = _eager(name, chunk), _eager(name, CHUNK)
    for start in range(0, LENGTH, chunk):
        tokens = TOKENS[0, start : start + chunk]
        result = runner.run(session, tokens, start)
        assert result.logits is not None
        last = start + len(tokens) - 1
        _check(f"{name} at {last}", result.logits, expected[last])
        _check("  in chunks of 13", result.logits, in_other_chunks[last], CHUNK_TOLERANCE)


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("embed_tokens", {"scale": 8.1}),
        ("layers.0.post_attention_layernorm", {"epsilon": 1e-3}),
        ("layers.0.self_attn.prepare", {"normalize_v": False}),
        ("layers.0.self_attn.prepare", {"q_norm": 6}),  # that of the keys
        ("layers.1.self_attn.attention", {"scale": 1.01}),
        ("layers.1.post_attention_layernorm", {"add": p.ABSENT}),
        ("layers.0.post_feedforward_layernorm", {"scalar": p.ABSENT}),
        ("softcap", {"cap": 29.0}),
    ],
)
def test_the_tolerance_notices_what_is_wrong(step: str, changes: dict[str, Any]) -> None:
    plan = _plan("gemma4", "prefill")
    changed = tuple(
        dataclasses.replace(s, operation=dataclasses.replace(s.operation, **changes))
        if s.name == step
        else s
        for s in plan.steps
    )
    assert changed != plan.steps
    wrong = dataclasses.replace(plan, steps=changed)
    runner, session = ReferencePlan(wrong, _weights(_model("gemma4"))), Session(wrong)
    result = runner.run(session, TOKENS[0, :CHUNK], 0)
    assert result.logits is not None
    error = (result.logits - _eager("gemma4", CHUNK)[CHUNK - 1]).abs().max().item()
    print(f"{step} {changes}: error {error:.1e}")
    assert error > 4 * TOLERANCE


@pytest.mark.parametrize("name", CONFIGS)
def test_decode_after_prefill(name: str) -> None:
    weights = _weights(_model(name))
    model = _model(name)
    model(TOKENS[:, :CHUNK], torch.tensor([0]))
    prefill, decode = _plan(name, "prefill"), _plan(name, "decode")
    session = Session(prefill)
    ReferencePlan(prefill, weights).run(session, TOKENS[0, :CHUNK], 0, emit=False)
    runner = ReferencePlan(decode, weights)
    for position in range(CHUNK, LENGTH):
        result = runner.run(session, TOKENS[0, position : position + 1], position)
        assert result.logits is not None
        expected = model(TOKENS[:, position : position + 1], torch.tensor([position]))[0, 0]
        _check(f"{name} at {position}", result.logits, expected)


@pytest.mark.parametrize("name", CONFIGS)
def test_score(name: str) -> None:
    plan = _plan(name, "score")
    runner, session = ReferencePlan(plan, _weights(_model(name))), Session(plan)
    logprobs = torch.log_softmax(_eager(name, CHUNK), dim=1)
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


def test_every_norm_has_the_models_epsilon() -> None:
    """Where another norm follows at once, the numbers alone would not show it."""
    operations = [step.operation for step in _plan("gemma4", "prefill").steps]
    normed = [o for o in operations if isinstance(o, p.RmsNorm | p.PrepareAttention)]
    assert len(normed) == 11  # two layers of four norms and one of heads, and the final norm
    for operation in normed:
        assert operation.epsilon == pytest.approx(CONFIGS["gemma4"].rms_norm_eps)


def test_cache_types_and_windows() -> None:
    limits = dataclasses.replace(LIMITS, cache_dtype=torch.float16)
    config = CONFIGS["gemma4"]
    plan = graph_to_plan(trace(config, limits, "decode"), config, limits, "decode")
    sliding, full = plan.caches
    assert (sliding.window, sliding.capacity, sliding.dtype) == (
        WINDOW,
        WINDOW - 1 + CHUNK,
        p.DType.F16,
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
