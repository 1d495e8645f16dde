from typing import Any

import pytest
import torch
from torch.nn import functional

from python.export import plan_ops
from python.export.passes import cached_attention
from python.export.pattern import GraphError, calls
from python.export.testing.example_graphs import HEAD_DIM, graph_of, number, stream, targets
from python.model import ops

HEADS, KV_HEADS, CAPACITY = 4, 2, 9
_INPUTS = {
    "q": stream(HEADS * HEAD_DIM),
    "k": stream(KV_HEADS * HEAD_DIM),
    "v": stream(KV_HEADS * HEAD_DIM),
    "qn": torch.zeros(HEAD_DIM),
    "kn": torch.zeros(HEAD_DIM),
    "keys": torch.zeros(KV_HEADS, CAPACITY, HEAD_DIM),
    "values": torch.zeros(KV_HEADS, CAPACITY, HEAD_DIM),
    "start": number(),
    "frequencies": torch.zeros(HEAD_DIM // 2),
}


def _norm(x: torch.Tensor, weight: torch.Tensor | None, epsilon: float = 1e-6) -> torch.Tensor:
    return functional.rms_norm(x, (HEAD_DIM,), weight, epsilon)


def _graph(
    *, v_norm: bool = True, k_eq_v: bool = False, epsilon: float = 1e-6, rotated: bool = True
) -> torch.fx.Graph:
    """Attention as the model writes it; `sin` stands for the rotation until it becomes one."""

    def body(
        q: Any,
        k: Any,
        v: Any,
        qn: Any,
        kn: Any,
        keys: Any,
        values: Any,
        start: Any,
        frequencies: Any,
    ) -> Any:
        q, k = q.unflatten(-1, (-1, HEAD_DIM)), k.unflatten(-1, (-1, HEAD_DIM))
        v = k if k_eq_v else v.unflatten(-1, (-1, HEAD_DIM))
        v = _norm(v, None, epsilon) if v_norm else v
        out = ops.cached_attention(
            _norm(q, qn).sin(), _norm(k, kn).sin(), v, keys, values, start, 5, 0.5
        )
        return out.flatten(2) + frequencies.sum()

    graph = graph_of(body, None, **_INPUTS)
    frequencies = next(n for n in graph.nodes if n.target == "frequencies")
    for node in calls(graph, torch.ops.aten.sin.default) if rotated else []:
        with graph.inserting_before(node):
            made = graph.call_function(
                plan_ops.rotate, kwargs={"x": node.args[0], "frequencies": frequencies}
            )
        made.meta = dict(node.meta)
        node.replace_all_uses_with(made)
        graph.erase_node(node)
    return graph


@pytest.mark.parametrize("v_norm", [True, False])
@pytest.mark.parametrize("k_eq_v", [True, False])
def test_becomes_two_steps(v_norm: bool, k_eq_v: bool) -> None:
    graph = _graph(v_norm=v_norm, k_eq_v=k_eq_v)
    cached_attention.run(graph)
    assert targets(graph)[:2] == ["prepare_attention", "attention"] or targets(graph)[1:3] == [
        "prepare_attention",
        "attention",
    ]
    (prepare,) = calls(graph, plan_ops.prepare_attention)
    assert prepare.kwargs["heads"] == HEADS
    assert prepare.kwargs["normalize_v"] is v_norm
    assert (prepare.kwargs["v"] is None) is k_eq_v
    assert str(prepare.kwargs["q_norm"]) == "kwargs_qn"
    assert str(prepare.kwargs["k_norm"]) == "kwargs_kn"
    (attention,) = calls(graph, plan_ops.attention)
    assert attention.kwargs["q"] is prepare
    assert (attention.kwargs["window"], attention.kwargs["scale"]) == (5, 0.5)


@pytest.mark.parametrize(
    "graph", [_graph(epsilon=1e-5), _graph(rotated=False)], ids=["two epsilons", "not rotated"]
)
def test_others_are_refused(graph: torch.fx.Graph) -> None:
    with pytest.raises(
        GraphError, match="node cached_attention does not have normed and rotated heads"
    ):
        cached_attention.run(graph)
