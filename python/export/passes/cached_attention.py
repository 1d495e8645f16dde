"""Norms per head, rotation, cache write and attention -> PrepareAttention, then Attention.

Values may come from their own projection or from the keys' (before norm and rotation), normalised
or as they are.
"""

from __future__ import annotations

import torch
from torch import fx

from python.export import plan_ops
from python.export.passes.method_inputs import method_input
from python.export.passes.model_operators import CACHED_ATTENTION
from python.export.pattern import Call, GraphError, Match, Var, calls, match, replace, shape

_aten = torch.ops.aten
_EPSILON, _HEAD_DIM = Var("epsilon"), Var("head_dim")


def _heads(projection: str) -> Call:
    """[1, tokens, heads * head_dim] -> [1, tokens, heads, head_dim]."""
    return Call(_aten.unflatten.int, [Var(projection), -1, [-1, _HEAD_DIM]])


def _rotated(projection: str, weight: str) -> Call:
    norm = Call(_aten.rms_norm.default, [_heads(projection), [_HEAD_DIM], Var(weight), _EPSILON])
    return Call(plan_ops.rotate, [], {"x": norm, "frequencies": Var("frequencies")})


def _attention(values: Call) -> Call:
    arguments = [
        _rotated("q", "q_norm"),
        _rotated("k", "k_norm"),
        values,
        Var("key_cache"),
        Var("value_cache"),
        method_input("start"),
        Var("window"),
        Var("scale"),
    ]
    return Call(_aten.flatten.using_ints, [Call(CACHED_ATTENTION, arguments), 2])


_NORMALIZED = _attention(Call(_aten.rms_norm.default, [_heads("v"), [_HEAD_DIM], None, _EPSILON]))
_AS_IT_IS = _attention(_heads("v"))


def run(graph: fx.Graph) -> None:
    """Raises GraphError where an attention is not one that a plan can hold."""
    for node in calls(graph, _aten.flatten.using_ints):
        if found := match(_NORMALIZED, node):
            _rewrite(found, normalize_v=True)
        elif found := match(_AS_IT_IS, node):
            _rewrite(found, normalize_v=False)
    for node in calls(graph, CACHED_ATTENTION):
        raise GraphError(
            f"pass cached_attention: node {node.name} does not have normed and rotated heads of one"
            " size as queries and keys, and values from v_proj or k_proj"
        )


def _rewrite(found: Match, *, normalize_v: bool) -> None:
    root = found.nodes[-1]
    heads = shape(found["q"])[-1] // found["head_dim"]
    caches = {"keys": found["key_cache"], "values": found["value_cache"]}
    with root.graph.inserting_before(root):
        queries = root.graph.call_function(
            plan_ops.prepare_attention,
            kwargs={
                "q": found["q"],
                "k": found["k"],
                "v": None if found["v"] is found["k"] else found["v"],
                "q_norm": found["q_norm"],
                "k_norm": found["k_norm"],
                "normalize_v": normalize_v,
                "epsilon": found["epsilon"],
                "frequencies": found["frequencies"],
                "heads": heads,
                **caches,
            },
        )
    queries.meta = dict(root.meta)
    kwargs = {
        "q": queries,
        "heads": heads,
        "window": found["window"],
        "scale": found["scale"],
        **caches,
    }
    replace("cached_attention", found, plan_ops.attention, kwargs)
