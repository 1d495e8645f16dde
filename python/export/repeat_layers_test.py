"""The plan made of repeated layers equals the plan traced from the whole model."""

import pytest
import torch

from python.export.graph_to_plan import graph_to_plan
from python.export.pattern import GraphError
from python.export.repeat_layers import repeat_layers, representatives
from python.export.trace import Limits, trace
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.plan import plan as p

LIMITS = Limits(max_context=64, max_tokens=8, cache_dtype=torch.float32)
CONFIGS = {
    "sliding and full": tiny_gemma4(num_layers=4),
    "full first": tiny_gemma3(num_layers=3, layer_kinds=("full", "sliding", "full")),
    "one kind": tiny_gemma3(num_layers=2, layer_kinds=("full", "full")),
    "one layer": tiny_gemma4(num_layers=1),
}


def _plan(config: GemmaConfig, method: str, layers: list[int] | None = None) -> p.Plan:
    return graph_to_plan(trace(config, LIMITS, method, layers), config, LIMITS, method)


@pytest.mark.parametrize(
    ("name", "method"), [*((name, "prefill") for name in CONFIGS), ("sliding and full", "score")]
)
def test_equals_the_traced_plan(name: str, method: str) -> None:
    config = CONFIGS[name]
    pattern = _plan(config, method, sorted(representatives(config.layer_kinds).values()))
    assert repeat_layers(pattern, config.layer_kinds) == _plan(config, method)


def test_representatives_are_the_first_of_each_kind() -> None:
    assert representatives(["a", "a", "b", "a", "b"]) == {"a": 0, "b": 2}


def test_refuses_a_plan_with_other_layers() -> None:
    config = CONFIGS["sliding and full"]
    plan = _plan(config, "prefill", [0])
    with pytest.raises(
        GraphError, match=r"one block for each of the layers 0, 3, and an end \(blocks: 0\)"
    ):
        repeat_layers(plan, config.layer_kinds)


def test_refuses_blocks_that_share_more_than_the_stream() -> None:
    config = CONFIGS["sliding and full"]
    plan = _plan(config, "prefill", [0, 3])
    steps = list(plan.steps)
    last_of_0 = max(i for i, step in enumerate(steps) if step.name.startswith("layers.0."))
    # A step of layer 0 moved into layer 3, which then reads what layer 0 wrote before.
    moved = steps.pop(last_of_0)
    steps.insert(last_of_0, p.Step(name="layers.3.early", operation=moved.operation))
    broken = p.Plan(**{**vars(plan), "steps": tuple(steps)})
    with pytest.raises(GraphError, match=r"the steps from layers\.3\.early on read"):
        repeat_layers(broken, config.layer_kinds)
