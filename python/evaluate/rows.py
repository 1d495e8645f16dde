"""The rows of the quality table: a method at a number of bits, or llama.cpp's quantizer."""

from collections.abc import Mapping
from dataclasses import dataclass

from python.quant import recipe as recipes
from python.quant.recipe import QuantConfig, QuantRecipe, QuantRule

_GROUP = 32
_EMBEDDING = QuantRule(
    pattern=r"(embed_tokens|lm_head)\.weight",
    config=QuantConfig(bits=8, group=_GROUP, symmetric=True, method="min_max"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is judged: layers' matrices by `config`, or a named recipe, or a file type of llama.cpp.

    The embedding of a `config` has 8 bits in groups of 32, by min-max.
    """

    title: str
    config: QuantConfig | None = None
    named: str | None = None
    file_type: str | None = None

    def recipe(self, num_layers: int) -> QuantRecipe:
        """Raises ValueError for a row of llama.cpp's."""
        if self.named is not None:
            return recipes.recipe(self.named, num_layers)
        if self.config is None:
            raise ValueError(f"{self.title} has no recipe")
        rest = QuantRule(pattern=".*", config=self.config)
        return QuantRecipe(name=self.title, rules=(_EMBEDDING, rest))


def _ours(bits: int, method: str, *, symmetric: bool) -> Row:
    kind = "symmetric" if symmetric else "asymmetric"
    config = QuantConfig(bits=bits, group=_GROUP, symmetric=symmetric, method=method)
    return Row(title=f"INT{bits} {kind}, {method}", config=config)


ROWS: Mapping[str, Row] = {
    "q4_0": Row(title="llama.cpp Q4_0", file_type="Q4_0"),
    "q4_k_m": Row(title="llama.cpp Q4_K_M", file_type="Q4_K_M"),
    "min_max": _ours(4, "min_max", symmetric=True),
    "hqq_scale": _ours(4, "hqq_scale", symmetric=True),
    "least_squares": _ours(4, "least_squares", symmetric=True),
    "gptq": _ours(4, "gptq", symmetric=True),
    "min_max_asymmetric": _ours(4, "min_max", symmetric=False),
    "hqq": _ours(4, "hqq", symmetric=False),
    "least_squares_asymmetric": _ours(4, "least_squares", symmetric=False),
    "gptq_asymmetric": _ours(4, "gptq", symmetric=False),
    "default": Row(title="recipe default (min_max; an embedding with one scale a row)",
                   named="default"),
    "sensitive": Row(title="recipe sensitive (INT8 where it matters, else INT4 by hqq)",
                     named="sensitive"),
    "min_max_8": _ours(8, "min_max", symmetric=True),
    "gptq_8": _ours(8, "gptq", symmetric=True),
}  # fmt: skip
