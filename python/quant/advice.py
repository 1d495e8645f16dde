"""What a user should know about a recipe before hours are spent on it."""

from python.quant.recipe import QuantRecipe

_DEFAULT = (
    "recipe default rounds every weight without calibration: a QAT checkpoint, a GGUF made with an "
    "imatrix, or recipe calibrated loses less (docs/benchmarks/quality_270m.md)"
)


def of(recipe: QuantRecipe) -> str | None:
    """One sentence, or None where there is nothing to say."""
    return _DEFAULT if recipe.name == "default" else None
