"""How much of a model that was trained for 4 bits came back: the groups that are reproduced exactly.

Counted after quantizing, from what dequantizing gives, not from what the search believes.
"""

from dataclasses import dataclass

from python.checkpoint.quantized import QuantizedTensor
from python.checkpoint.tensor import StoredTensor

# A checkpoint that was trained for 4 bits gives all of its groups back; one that was not, none.
_EXPECTED = 0.99


@dataclass(kw_only=True)
class LatticeShare:
    """Groups seen, and how many of them dequantize to the checkpoint's weights, bit for bit."""

    groups: int = 0
    exact: int = 0

    def add(self, tensor: StoredTensor | QuantizedTensor | None) -> None:
        """Counts a weight; one whose method does not count its groups changes nothing."""
        if isinstance(tensor, QuantizedTensor) and tensor.exact_groups is not None:
            self.groups += tensor.scale.numel()
            self.exact += tensor.exact_groups

    def sentence(self, recipe_name: str) -> str | None:
        """What a user should know of it, in one sentence; None where nothing was counted."""
        if self.groups == 0:
            return None
        share = self.exact / self.groups
        # Rounded down: 100 % means all of them.
        shown = f"{int(share * 10_000) / 100:g} % of {self.groups} groups of weights"
        if share >= _EXPECTED:
            return f"recipe {recipe_name} reproduces {shown} exactly"
        return (
            f"recipe {recipe_name} reproduces only {shown} exactly: this is no checkpoint that was "
            "trained for 4 bits in these groups (use recipe calibrated, or default without a text)"
        )
