"""Results as the Markdown table of docs/benchmarks/quality_270m.md."""

from collections.abc import Sequence

from python.evaluate.evaluation import Result


def heading(texts: Sequence[str]) -> str:
    """The table's first two lines."""
    columns = ["", "bits in layers", "bits in all", "weight error"]
    for text in texts:
        columns += [f"KL, {text}", f"perplexity, {text}"]
    return f"{_line(columns)}\n|---|{'---:|' * (len(columns) - 1)}"


def line(result: Result) -> str:
    """A row: KL in nats with the standard error of its mean."""
    cells = [
        result.title,
        f"{result.weights.layer_bits:.2f}",
        f"{result.weights.all_bits:.2f}",
        f"{result.weights.relative:.4f}",
    ]
    for divergence in result.divergences.values():
        cells += [f"{divergence.mean_kl:.4f} ± {divergence.kl_error:.4f}"]
        cells += [f"{divergence.perplexity:.2f}"]
    return _line(cells)


def reference_line(result: Result) -> str:
    """The row of the reference that the result was compared with."""
    cells = ["reference", "32", "32", "0"]
    for divergence in result.divergences.values():
        cells += ["0", f"{divergence.reference_perplexity:.2f}"]
    return _line(cells)


def comparison(result: Result, peer: Result) -> str:
    """How far the result's KL is from the peer's, by paired differences of sequences."""
    parts = []
    for text, divergence in result.divergences.items():
        mean, error = divergence.kl_difference(peer.divergences[text])
        parts.append(f"{mean:+.4f} ± {error:.4f} on {text}")
    return f"KL of {result.title} minus that of {peer.title}: {', '.join(parts)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
