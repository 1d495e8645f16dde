"""The plans of all methods of a model: trace one layer of each kind, rewrite, repeat."""

from __future__ import annotations

from python.export.graph_to_plan import graph_to_plan
from python.export.repeat_layers import repeat_layers, representatives
from python.export.trace import Limits, trace
from python.model.gemma_config import GemmaConfig
from python.plan import plan as p
from python.plan import plan_check


def build_plan(config: GemmaConfig, limits: Limits, method: str) -> p.Plan:
    """The plan of one method, its weights still F32."""
    layers = sorted(representatives(config.layer_kinds).values())
    pattern = graph_to_plan(trace(config, limits, method, layers), config, limits, method)
    plan = repeat_layers(pattern, config.layer_kinds)
    plan_check.validate(plan)
    return plan
