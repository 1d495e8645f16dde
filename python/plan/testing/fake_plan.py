"""A small plan written by hand, for tests: one layer, every kind of operation, no model needed."""

from __future__ import annotations

import torch

from python.pack.layouts import WeightShape
from python.plan import plan as p

VOCAB, HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM = 40, 32, 64, 2, 1, 32


class _Tables:
    """Names -> indices, in the order in which the names are first asked for."""

    def __init__(self) -> None:
        self.weights: list[p.Weight] = []
        self.values: list[p.Value] = []

    def weight(self, name: str, rows: int, columns: int) -> int:
        for index, weight in enumerate(self.weights):
            if weight.name == name:
                return index
        shape = WeightShape(layout=p.Layout.F32, rows=rows, columns=columns)
        self.weights.append(p.Weight.of(name, shape))
        return len(self.weights) - 1

    def value(self, name: str, columns: int, rows: p.Rows = p.Rows.TOKENS) -> int:
        self.values.append(p.Value(name=name, columns=columns, rows=rows))
        return len(self.values) - 1


def fake_plan(
    method: str = "prefill",
    *,
    max_tokens: int = 8,
    max_context: int = 64,
    window: int = 4,
    capacity: int = 11,
) -> p.Plan:
    """A valid plan of `method` with one sliding layer."""
    tables = _Tables()
    x = tables.value("embedding", HIDDEN)
    embed = p.Embed(weight=tables.weight("embed_tokens.weight", VOCAB, HIDDEN), scale=0.3, out=x)
    steps: list[tuple[str, p.Operation]] = [("embed", embed)]
    x = _attention_steps(tables, steps, x)
    x = _mlp_steps(tables, steps, x)
    steps += _head_steps(tables, method, x)
    cache = p.Cache(
        name="layers.0.kv_cache",
        kv_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        capacity=capacity,
        window=window,
        dtype=p.DType.F32,
    )
    return p.Plan(
        model="fake",
        method=method,
        vocab_size=VOCAB,
        max_tokens=max_tokens,
        max_context=max_context,
        weights=tuple(tables.weights),
        caches=(cache,),
        values=tuple(tables.values),
        steps=tuple(p.Step(name=name, operation=operation) for name, operation in steps),
    )


def fake_weights(plan: p.Plan, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random float32 matrices for every weight of a plan."""
    generator = torch.Generator().manual_seed(seed)
    return {w.name: torch.randn(w.rows, w.columns, generator=generator) for w in plan.weights}


def _norm(
    tables: _Tables, name: str, source: int, *, add: int = p.ABSENT, scalar: int = p.ABSENT
) -> p.RmsNorm:
    value = tables.values[source]
    return p.RmsNorm(
        input=source, weight=tables.weight(f"{name}.weight", 1, value.columns), width=value.columns,
        epsilon=1e-6, add=add, scalar=scalar, out=tables.value(name, value.columns, value.rows),
    )  # fmt: skip


def _linear(tables: _Tables, source: int, **columns: int) -> p.Linear:
    value = tables.values[source]
    return p.Linear(
        input=source,
        weights=tuple(
            tables.weight(f"{name}.weight", rows, value.columns) for name, rows in columns.items()
        ),
        outs=tuple(tables.value(name, rows, value.rows) for name, rows in columns.items()),
    )


def _attention_steps(tables: _Tables, steps: list[tuple[str, p.Operation]], x: int) -> int:
    before = _norm(tables, "layers.0.input_layernorm", x)
    q_columns, kv_columns = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    projections = _linear(
        tables, before.out, q_proj=q_columns, k_proj=kv_columns, v_proj=kv_columns
    )
    q, k, v = projections.outs
    prepare = p.PrepareAttention(
        q=q, k=k, v=v, q_norm=tables.weight("q_norm.weight", 1, HEAD_DIM),
        k_norm=tables.weight("k_norm.weight", 1, HEAD_DIM), normalize_v=True, epsilon=1e-6,
        frequencies=tables.weight("rope.sliding.frequencies", 1, HEAD_DIM // 2), heads=HEADS,
        cache=0, out=tables.value("rotated_q", q_columns),
    )  # fmt: skip
    attention = p.Attention(
        q=prepare.out, cache=0, heads=HEADS, scale=0.25, out=tables.value("attention", q_columns)
    )
    output = _linear(tables, attention.out, o_proj=HIDDEN)
    after = _norm(tables, "layers.0.post_attention_layernorm", output.outs[0], add=x)
    steps += [
        ("layers.0.input_layernorm", before),
        ("layers.0.qkv", projections),
        ("layers.0.prepare", prepare),
        ("layers.0.attention", attention),
        ("layers.0.o_proj", output),
        ("layers.0.post_attention", after),
    ]
    return after.out


def _mlp_steps(tables: _Tables, steps: list[tuple[str, p.Operation]], x: int) -> int:
    before = _norm(tables, "layers.0.pre_feedforward_layernorm", x)
    gate_up = _linear(tables, before.out, gate_proj=FFN, up_proj=FFN)
    gelu = p.GatedGelu(gate=gate_up.outs[0], up=gate_up.outs[1], out=tables.value("activated", FFN))
    down = _linear(tables, gelu.out, down_proj=HIDDEN)
    scalar = tables.weight("layers.0.layer_scalar", 1, 1)
    after = _norm(tables, "layers.0.post_feedforward_layernorm", down.outs[0], add=x, scalar=scalar)
    add = p.Add(a=after.out, b=x, out=tables.value("added", HIDDEN))
    steps += [
        ("layers.0.pre_feedforward", before),
        ("layers.0.gate_up", gate_up),
        ("layers.0.gelu", gelu),
        ("layers.0.down_proj", down),
        ("layers.0.post_feedforward", after),
        ("layers.0.add", add),
    ]
    return add.out


def _head_steps(tables: _Tables, method: str, x: int) -> list[tuple[str, p.Operation]]:
    head = tables.weight("embed_tokens.weight", VOCAB, HIDDEN)
    if method == "score":
        norm = _norm(tables, "norm", x)
        score = p.Score(input=norm.out, weight=head, softcap=30.0, top=5)
        return [("norm", norm), ("score", score)]
    last = p.SelectLast(input=x, out=tables.value("last", HIDDEN, p.Rows.ONE))
    norm = _norm(tables, "norm", last.out)
    logits = p.Linear(
        input=norm.out, weights=(head,), outs=(tables.value("raw", VOCAB, p.Rows.ONE),)
    )
    cap = p.Softcap(input=logits.outs[0], cap=30.0, out=tables.value("logits", VOCAB, p.Rows.ONE))
    return [
        ("select_last", last), ("norm", norm), ("lm_head", logits), ("softcap", cap),
        ("sample", p.Sample(logits=cap.out)),
    ]  # fmt: skip
