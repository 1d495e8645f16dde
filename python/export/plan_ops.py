"""The operations of a plan as targets of FX nodes: what the passes rewrite a graph into.

They compute nothing: they stand in a graph for steps until `graph_to_plan` writes them down. Their
keywords are the operands and attributes of the tables in cc/plan/plan.fbs; weights, caches and
activations are still FX nodes.
"""

from __future__ import annotations

from typing import Any, NoReturn

from torch import fx


def _stands_for_a_step(name: str) -> NoReturn:
    raise TypeError(f"{name} stands for a step of a plan; it does not run")


def embed(*, weight: fx.Node, scale: float) -> Any:
    _stands_for_a_step("embed")


def rms_norm(
    *,
    source: fx.Node,
    weight: fx.Node | None,
    width: int,
    epsilon: float,
    add: fx.Node | None,
    scalar: fx.Node | None,
) -> Any:
    _stands_for_a_step("rms_norm")


def linear(*, source: fx.Node, weights: list[fx.Node]) -> Any:
    """Several projections of one input; `operator.getitem` picks one."""
    _stands_for_a_step("linear")


def prepare_attention(
    *,
    q: fx.Node,
    k: fx.Node,
    v: fx.Node | None,
    q_norm: fx.Node,
    k_norm: fx.Node,
    normalize_v: bool,
    epsilon: float,
    frequencies: fx.Node,
    heads: int,
    keys: fx.Node,
    values: fx.Node,
) -> Any:
    """Writes keys and values to the cache; gives the queries."""
    _stands_for_a_step("prepare_attention")


def attention(
    *, q: fx.Node, keys: fx.Node, values: fx.Node, heads: int, window: int, scale: float
) -> Any:
    _stands_for_a_step("attention")


def gated_gelu(*, gate: fx.Node, up: fx.Node) -> Any:
    _stands_for_a_step("gated_gelu")


def add(*, a: fx.Node, b: fx.Node) -> Any:
    _stands_for_a_step("add")


def select_last(*, source: fx.Node) -> Any:
    _stands_for_a_step("select_last")


def softcap(*, source: fx.Node, cap: float) -> Any:
    _stands_for_a_step("softcap")


def sample(*, logits: fx.Node) -> Any:
    _stands_for_a_step("sample")


def score(*, source: fx.Node, weight: fx.Node, softcap: float, top: int) -> Any:
    _stands_for_a_step("score")


# Not a step of its own: `attention` takes it in.


def rotate(*, x: fx.Node, frequencies: fx.Node) -> Any:
    """RoPE of heads [1, tokens, heads, head_dim] at the positions from `start` on."""
    _stands_for_a_step("rotate")
