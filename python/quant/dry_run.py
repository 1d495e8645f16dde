"""What a quantization would do, as a table: every weight, its rule, bits, and the memory that all
of it takes.
"""

from python.console.sizes import format_bytes
from python.model.gemma_config import AttentionConfig, GemmaConfig
from python.quant.calibration import calibration
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.recipe import QuantRecipe
from python.quant.store.store_layout import Shard, StoredWeight

_KV_BYTES = 2  # bfloat16
# What the process itself takes beside weights: the interpreter, torch, and slabs in flight.
_PROCESS_BYTES = 500_000_000


def table(
    weights: tuple[StoredWeight, ...],
    shards: tuple[Shard, ...],
    recipe: QuantRecipe,
    config: GemmaConfig,
    text: CalibrationText | None = None,
) -> str:
    """The whole text, one line a weight, then the totals."""
    rows: list[tuple[str, ...]] = [
        ("weight", "shape", "stored", "rule", "becomes", "bits/weight", "bytes")
    ]
    for weight in weights:
        packed = weight.packed()
        rows.append((
            weight.name, " x ".join(map(str, weight.info.shape)), weight.info.encoding,
            _rule(weight, recipe),
            packed.layout.name, f"{packed.bytes * 8 / max(1, weight.info.elements):.3f}",
            format_bytes(packed.bytes),
        ))  # fmt: skip
    return "\n".join((*_aligned(rows), "", *_totals(weights, shards, config, text)))


def _rule(weight: StoredWeight, recipe: QuantRecipe) -> str:
    if weight.rule is None:
        return "kept: never quantized"
    text = f"{weight.rule}: {recipe.rules[weight.rule].pattern}"
    return text if weight.config is not None else f"{text} (kept)"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _totals(
    weights: tuple[StoredWeight, ...],
    shards: tuple[Shard, ...],
    config: GemmaConfig,
    text: CalibrationText | None,
) -> list[str]:
    elements = sum(weight.info.elements for weight in weights)
    matrices = [weight for weight in weights if len(weight.info.shape) == 2]
    in_matrices = max(1, sum(weight.info.elements for weight in matrices))
    bits = sum(weight.packed().bytes for weight in matrices) * 8 / in_matrices
    packed = sum(weight.packed().bytes for weight in weights)
    sliding, full = kv_cache_bytes(config)
    return [
        f"weights: {len(weights)}, {elements / 1e9:.3f} billion numbers, {bits:.3f} bits each in "
        "matrices",
        f"file: {format_bytes(sum(shard.bytes for shard in shards))} in {len(shards)} shards "
        f"(from {format_bytes(sum(weight.info.bytes for weight in weights))})",
        f"host memory: at most {format_bytes(peak_bytes(weights, config, text))} while quantizing",
        f"GPU memory: {format_bytes(packed)} for weights, {format_bytes(sliding)} for the windows "
        "and "
        f"{format_bytes(full)} for each 1,024 tokens of context (bfloat16 cache)",
    ]


def peak_bytes(
    weights: tuple[StoredWeight, ...], config: GemmaConfig, text: CalibrationText | None = None
) -> int:
    """The most memory that quantizing holds: a weight as stored, as int8 and as parts; and where
    it is calibrated, what calibration holds beside it.
    """
    largest = max(
        weight.info.bytes
        + (0 if weight.config is None else weight.info.elements + weight.bytes)
        + _calibration_bytes(weight, config, text)
        for weight in weights
    )
    return largest + _PROCESS_BYTES


def _calibration_bytes(
    weight: StoredWeight, config: GemmaConfig, text: CalibrationText | None
) -> int:
    if text is None or weight.config is None or not weight.config.calibrated:
        return 0
    matrix = calibration.matrix_bytes(*weight.info.shape)
    return matrix + calibration.stream_bytes(config, text.tokens.numel())


def kv_cache_bytes(config: GemmaConfig) -> tuple[int, int]:
    """Keys and values of all sliding layers' windows, and of all full layers for 1,024 tokens."""

    def token_bytes(attention: AttentionConfig, layers: int) -> int:
        return layers * attention.kv_heads * attention.head_dim * 2 * _KV_BYTES

    sliding = token_bytes(config.sliding, config.layer_kinds.count("sliding"))
    full = token_bytes(config.full, config.layer_kinds.count("full"))
    return sliding * (config.sliding.window or 0), full * 1024
