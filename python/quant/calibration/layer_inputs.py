"""One decoder layer cut at its matrices: what each of them receives, and what becomes of its output.

The formulas are those of python/model (a test compares the two to the last digit that summation
allows), but weights come and go one at a time: a matrix is applied when it is at hand, and its
output waits until the next step of the layer needs it. Sequences are independent; attention takes
one at a time.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from python.model import ops
from python.model.gemma_config import GemmaConfig
from python.model.rope import Rope, rotate

# A vector of the layer, by its name within the layer: the factor of a norm or the layer's scalar.
ReadVector = Callable[[str], torch.Tensor]

# Matrices, in the order of the computation, and the first of those that share their input.
SHARED_INPUT = {
    "self_attn.q_proj.weight": "self_attn.q_proj.weight",
    "self_attn.k_proj.weight": "self_attn.q_proj.weight",
    "self_attn.v_proj.weight": "self_attn.q_proj.weight",
    "self_attn.o_proj.weight": "self_attn.o_proj.weight",
    "mlp.gate_proj.weight": "mlp.gate_proj.weight",
    "mlp.up_proj.weight": "mlp.gate_proj.weight",
    "mlp.down_proj.weight": "mlp.down_proj.weight",
}


class LayerInputs:
    """Carries hidden states [sequences, tokens, hidden], float32, through one layer."""

    def __init__(
        self, config: GemmaConfig, layer: int, hidden: torch.Tensor, read_vector: ReadVector
    ) -> None:
        self._config = config
        self._attention = config.attention(layer)
        self._hidden = hidden
        self._read = read_vector
        self._outputs: dict[str, torch.Tensor] = {}
        self._current: tuple[str, torch.Tensor] | None = None

    def input_of(self, name: str) -> torch.Tensor:
        """What matrix `name` receives: [sequences, tokens, columns].

        Its predecessors must have been applied.
        """
        first = SHARED_INPUT[name]
        if self._current is None or self._current[0] != first:
            self._current = None
            self._current = (first, _STEPS[first](self))
        return self._current[1]

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """The input times weight, float32 [rows, columns]: [sequences, tokens, rows]; also kept."""
        output = functional.linear(self.input_of(name), weight)
        if name == "mlp.up_proj.weight":  # nobody needs gate and up themselves
            gate = self._outputs["mlp.gate_proj.weight"]
            for sequence, factor in zip(gate, output, strict=True):
                sequence.copy_(functional.gelu(sequence, approximate="tanh") * factor)
        else:
            self._outputs[name] = output
        return output

    def finish(self) -> torch.Tensor:
        """The hidden states after the layer."""
        self._current = None
        hidden = self._add("mlp.down_proj.weight", "post_feedforward_layernorm.weight")
        return hidden * self._read("layer_scalar") if self._config.layer_scalar else hidden

    def _attention_input(self) -> torch.Tensor:
        return self._norm(self._hidden, "input_layernorm.weight")

    def _attended(self) -> torch.Tensor:
        """softmax(q k^T) v of every sequence: [sequences, tokens, heads * head_dim]."""
        q = self._outputs.pop("self_attn.q_proj.weight")
        k = self._outputs.pop("self_attn.k_proj.weight")
        v = self._outputs.pop("self_attn.v_proj.weight", k)
        tokens, device = q.shape[1], q.device
        tables = Rope(self._attention, device)(torch.arange(tokens, device=device))
        window = self._attention.window or 0
        visible = ops.visible_keys(0, tokens, 0, window, device)
        out = torch.empty_like(q)
        for number in range(q.shape[0]):
            one = slice(number, number + 1)
            heads = (self._heads(q[one]), self._heads(k[one]), self._heads(v[one]))
            out[number] = self._attend(heads, tables, visible)
        return out

    def _attend(
        self,
        heads: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        tables: tuple[torch.Tensor, torch.Tensor],
        visible: torch.Tensor,
    ) -> torch.Tensor:
        """One sequence. q, k, v: [1, tokens, heads, head_dim] -> [tokens, heads * head_dim]."""
        q, k, v = heads
        q = rotate(self._norm(q, "self_attn.q_norm.weight"), *tables)
        k = rotate(self._norm(k, "self_attn.k_norm.weight"), *tables)
        if self._config.normalize_v:
            v = functional.rms_norm(v, (v.shape[-1],), None, self._config.rms_norm_eps)
        attended = ops.attend(
            q[0].transpose(0, 1), k[0].transpose(0, 1), v[0].transpose(0, 1), visible,
            self._config.attention_scale,
        )  # fmt: skip
        return attended.transpose(0, 1).flatten(1)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """[1, tokens, heads * head_dim] -> [1, tokens, heads, head_dim]."""
        return x.reshape(*x.shape[:2], -1, self._attention.head_dim)

    def _mlp_input(self) -> torch.Tensor:
        self._hidden = self._add("self_attn.o_proj.weight", "post_attention_layernorm.weight")
        return self._norm(self._hidden, "pre_feedforward_layernorm.weight")

    def _gated(self) -> torch.Tensor:
        return self._outputs.pop("mlp.gate_proj.weight")

    def _add(self, name: str, norm: str) -> torch.Tensor:
        return self._hidden + self._norm(self._outputs.pop(name), norm)

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self._read(name), self._config.rms_norm_eps)


_STEPS: dict[str, Callable[[LayerInputs], torch.Tensor]] = {
    "self_attn.q_proj.weight": LayerInputs._attention_input,
    "self_attn.o_proj.weight": LayerInputs._attended,
    "mlp.gate_proj.weight": LayerInputs._mlp_input,
    "mlp.down_proj.weight": LayerInputs._gated,
}
