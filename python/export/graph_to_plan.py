"""From the exported graph of a method to its plan: rewrite passes, then one step a remaining node.

What must stay true: a node that no pass understood is an error that names it, never dropped; each
value is written once; weights are still F32 (weight_table.py gives them layouts).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import fx

from python.export import plan_ops
from python.export.passes import (
    cached_attention,
    embedding,
    gated_gelu,
    linear,
    norms,
    residual_add,
    rotary_embedding,
    sample,
    score,
    select_last,
    softcap,
    type_assertions,
    unused_sizes,
)
from python.export.pattern import GraphError, shape
from python.export.trace import Limits
from python.model.gemma_config import GemmaConfig
from python.pack.layouts import WeightShape
from python.plan import plan as p

PASSES: tuple[ModuleType, ...] = (
    type_assertions,
    embedding,
    rotary_embedding,
    cached_attention,
    norms,
    residual_add,
    gated_gelu,
    softcap,
    score,
    select_last,
    linear,
    sample,
    unused_sizes,
)

_DTYPES = {getattr(torch, dtype.text): dtype for dtype in p.DType}
_MODEL_PREFIX = "model."


def graph_to_plan(
    program: torch.export.ExportedProgram, config: GemmaConfig, limits: Limits, method: str
) -> p.Plan:
    """The plan of a traced method (the program is used up).

    Raises:
      GraphError: a node that no pass understands.
    """
    graph = program.graph_module.graph
    for rewrite in PASSES:
        rewrite.run(graph)
        graph.lint()
    builder = _Builder(_names_of_state(program))
    for node in graph.nodes:
        builder.add(node)
    return p.Plan(
        model=config.name,
        method=method,
        vocab_size=config.vocab_size,
        max_tokens=1 if method == "decode" else limits.max_tokens,
        max_context=limits.max_context,
        weights=tuple(builder.weights.values()),
        caches=tuple(builder.caches.values()),
        values=tuple(builder.values),
        steps=tuple(builder.steps),
        activations=limits.activations,
    )


def _names_of_state(program: torch.export.ExportedProgram) -> dict[str, str]:
    """Placeholder name -> the model's name for the parameter or buffer."""
    signature = program.graph_signature
    state = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    return {node: name.removeprefix(_MODEL_PREFIX) for node, name in state.items()}


class _Builder:
    """Writes steps and fills the tables, node by node."""

    def __init__(self, state: dict[str, str]) -> None:
        self.weights: dict[str, p.Weight] = {}
        self.caches: dict[str, p.Cache] = {}
        self.values: list[p.Value] = []
        self.steps: list[p.Step] = []
        self._state = state
        self._value_of: dict[fx.Node, int] = {}
        self._windows: dict[str, int] = {}
        self._writers: dict[Callable[..., Any], Callable[[fx.Node], None]] = {
            plan_ops.embed: self._embed,
            plan_ops.rms_norm: self._rms_norm,
            plan_ops.linear: self._linear,
            plan_ops.prepare_attention: self._prepare_attention,
            plan_ops.attention: self._attention,
            plan_ops.gated_gelu: self._gated_gelu,
            plan_ops.add: self._add,
            plan_ops.select_last: self._select_last,
            plan_ops.softcap: self._softcap,
            plan_ops.sample: self._sample,
            plan_ops.score: self._score,
        }

    def add(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            return
        if node.op == "output":
            self._check_output(node)
        elif node.target is operator.getitem and node in self._value_of:
            return  # one of several results of a step, entered with it
        elif node.op == "call_function" and node.target in self._writers:
            self._writers[node.target](node)
        else:
            raise GraphError(
                f"no pass understands node {node.name} ({node.target}): a plan has no step for it"
            )

    def _check_output(self, node: fx.Node) -> None:
        last = node.all_input_nodes
        if len(last) != 1 or last[0].target not in (plan_ops.sample, plan_ops.score):
            raise GraphError("the method's result is neither a drawn token nor scores")

    # One writer an operation

    def _embed(self, node: fx.Node) -> None:
        weight = self._matrix(node.kwargs["weight"])
        out = self._new_value(node, "embed_tokens", p.Rows.TOKENS)
        self._step("embed_tokens", p.Embed(weight=weight, scale=node.kwargs["scale"], out=out))  # type: ignore[arg-type]

    def _rms_norm(self, node: fx.Node) -> None:
        k: Any = node.kwargs
        source = self._value(k["source"])
        name = self._module_of(k["weight"], node)
        operation = p.RmsNorm(
            input=source,
            weight=self._vector(k["weight"]),
            width=k["width"],
            epsilon=k["epsilon"],
            add=self._value(k["add"]),
            scalar=self._vector(k["scalar"]),
            out=self._new_value(node, name, self.values[source].rows),
        )
        self._step(name, operation)

    def _linear(self, node: fx.Node) -> None:
        k: Any = node.kwargs
        source = self._value(k["source"])
        rows = self.values[source].rows
        names = [self._module_of(weight, node) for weight in k["weights"]]
        is_head = rows is p.Rows.ONE
        weights = tuple(self._matrix(weight) for weight in k["weights"])
        parts = sorted(node.users, key=lambda user: user.args[1])  # type: ignore[arg-type,return-value]
        outs = [
            self._new_value(part, "logits" if is_head else name, rows)
            for part, name in zip(parts, names, strict=True)
        ]
        step = (
            "lm_head"
            if is_head
            else ",".join([names[0], *(n.rpartition(".")[2] for n in names[1:])])
        )
        self._step(step, p.Linear(input=source, weights=weights, outs=tuple(outs)))

    def _prepare_attention(self, node: fx.Node) -> None:
        k: Any = node.kwargs
        (attention,) = node.users
        cache, layer = self._cache(k["keys"], k["values"], attention.kwargs["window"])
        name = f"{layer}.self_attn.prepare"
        operation = p.PrepareAttention(
            q=self._value(k["q"]),
            k=self._value(k["k"]),
            v=self._value(k["v"]),
            q_norm=self._vector(k["q_norm"]),
            k_norm=self._vector(k["k_norm"]),
            normalize_v=k["normalize_v"],
            epsilon=k["epsilon"],
            frequencies=self._vector(k["frequencies"]),
            heads=k["heads"],
            cache=cache,
            out=self._new_value(node, name, p.Rows.TOKENS),
        )
        self._step(name, operation)

    def _attention(self, node: fx.Node) -> None:
        k: Any = node.kwargs
        cache, layer = self._cache(k["keys"], k["values"], k["window"])
        name = f"{layer}.self_attn.attention"
        queries = self._value(k["q"])
        out = self._new_value(node, name, p.Rows.TOKENS)
        self._step(
            name, p.Attention(q=queries, cache=cache, heads=k["heads"], scale=k["scale"], out=out)
        )

    def _gated_gelu(self, node: fx.Node) -> None:
        k: Any = node.kwargs
        gate, up = self._value(k["gate"]), self._value(k["up"])
        name = f"{self.values[gate].name.rpartition('.')[0]}.gelu"
        out = self._new_value(node, name, self.values[gate].rows)
        self._step(name, p.GatedGelu(gate=gate, up=up, out=out))

    def _add(self, node: fx.Node) -> None:
        k: Any = node.kwargs
        a, b = self._value(k["a"]), self._value(k["b"])
        name = _module_path(node) + ".add"
        self._step(name, p.Add(a=a, b=b, out=self._new_value(node, name, self.values[a].rows)))

    def _select_last(self, node: fx.Node) -> None:
        source = self._value(node.kwargs["source"])
        out = self._new_value(node, "select_last", p.Rows.ONE)
        self._step("select_last", p.SelectLast(input=source, out=out))

    def _softcap(self, node: fx.Node) -> None:
        source = self._value(node.kwargs["source"])
        out = self._new_value(node, "softcap", self.values[source].rows)
        self._step("softcap", p.Softcap(input=source, cap=node.kwargs["cap"], out=out))  # type: ignore[arg-type]

    def _sample(self, node: fx.Node) -> None:
        self._step("sample", p.Sample(logits=self._value(node.kwargs["logits"])))

    def _score(self, node: fx.Node) -> None:
        k: Any = node.kwargs
        operation = p.Score(
            input=self._value(k["source"]),
            weight=self._matrix(k["weight"]),
            softcap=k["softcap"],
            top=k["top"],
        )
        self._step("score", operation)

    # Tables

    def _step(self, name: str, operation: p.Operation) -> None:
        self.steps.append(p.Step(name=name, operation=operation))

    def _new_value(self, node: fx.Node, name: str, rows: p.Rows) -> int:
        columns = 1
        for size in shape(node)[2:]:
            columns *= int(size)
        self.values.append(p.Value(name=name, columns=columns, rows=rows))
        self._value_of[node] = len(self.values) - 1
        return self._value_of[node]

    def _value(self, node: Any) -> int:
        if node is None:
            return p.ABSENT
        if node not in self._value_of:
            raise GraphError(f"no step writes node {node.name} ({node.target}), an activation")
        return self._value_of[node]

    def _matrix(self, node: Any) -> int:
        rows, columns = shape(node)
        return self._weight(node, int(rows), int(columns))

    def _vector(self, node: Any) -> int:
        """A weight of one row, or absent."""
        if node is None:
            return p.ABSENT
        (columns,) = shape(node)
        return self._weight(node, 1, int(columns))

    def _weight(self, node: fx.Node, rows: int, columns: int) -> int:
        name = self._state_name(node)
        shape_ = WeightShape(layout=p.Layout.F32, rows=rows, columns=columns)
        self.weights.setdefault(name, p.Weight.of(name, shape_))
        return list(self.weights).index(name)

    def _cache(self, keys: Any, values: Any, window: Any) -> tuple[int, str]:
        """Index of the cache that two buffers make up, and the name of its layer."""
        name = self._state_name(keys).removesuffix(".keys")
        if self._state_name(values) != f"{name}.values" or shape(keys) != shape(values):
            raise GraphError(f"{name}: keys and values do not belong to one cache")
        kv_heads, capacity, head_dim = (int(size) for size in shape(keys))
        cache = p.Cache(
            name=name, kv_heads=kv_heads, head_dim=head_dim, capacity=capacity, window=window,
            dtype=_DTYPES[keys.meta["val"].dtype],
        )  # fmt: skip
        if self.caches.setdefault(name, cache) != cache:
            raise GraphError(f"{name}: it is used with two windows")
        return list(self.caches).index(name), name.removesuffix(".kv_cache")

    def _state_name(self, node: fx.Node) -> str:
        if node.name not in self._state:
            raise GraphError(
                f"node {node.name} is used as a weight or cache, but the model does not own it"
            )
        return self._state[node.name]

    def _module_of(self, weight: Any, node: fx.Node) -> str:
        if weight is None:
            return _module_path(node)
        return re.sub(r"\.weight$", "", self._state_name(weight))


def _module_path(node: fx.Node) -> str:
    """Path of the module that a node came from."""
    stack = node.meta.get("nn_module_stack") or {"": ("", "")}
    path = list(stack.values())[-1][0]
    return str(path).removeprefix(_MODEL_PREFIX) or node.name
