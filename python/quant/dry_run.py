"""What a quantization would do: every weight, its rule, bits, the memory, and whether that fits."""

from pathlib import Path

from python.console import fit, machine
from python.console.listing import Listing, Table, bits_per_weight
from python.model.gemma_config import AttentionConfig, GemmaConfig
from python.quant.calibration import calibration
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.recipe import QuantRecipe
from python.quant.store.store_layout import Shard, StoredWeight

_KV_BYTES = 2  # bfloat16
# What the process itself takes beside weights: the interpreter, torch, and slabs in flight.
_PROCESS_BYTES = 500_000_000


def listing(
    checkpoint: Path,
    output: Path,
    weights: tuple[StoredWeight, ...],
    shards: tuple[Shard, ...],
    recipe: QuantRecipe,
    config: GemmaConfig,
    text: CalibrationText | None = None,
) -> Listing:
    """The whole dry run. `problem` says why the run itself would fail here."""
    needs = _needs(output, weights, shards, config, text)
    return Listing(
        kind="dry run of a quantization",
        path=str(checkpoint),
        facts=_facts(weights, shards, recipe, config),
        tables={"weights": _weights(weights, recipe), "does it fit": fit.table(needs)},
        problem=fit.problem(needs),
    )


def _facts(
    weights: tuple[StoredWeight, ...],
    shards: tuple[Shard, ...],
    recipe: QuantRecipe,
    config: GemmaConfig,
) -> dict[str, object]:
    """Totals. Caches are for bfloat16.

    A context of n tokens takes the windows and n / 1,024 of the last number.
    """
    matrices = [weight for weight in weights if len(weight.info.shape) == 2]
    sliding, full = kv_cache_bytes(config)
    return {
        "model": config.name,
        "recipe": recipe.name,
        "weights": len(weights),
        "parameters": sum(weight.info.elements for weight in weights),
        "bits_per_weight_of_matrices": bits_per_weight(
            sum(weight.packed().bytes for weight in matrices),
            sum(weight.info.elements for weight in matrices),
        ),
        "checkpoint_bytes": sum(weight.info.bytes for weight in weights),
        "shards": len(shards),
        "file_bytes": sum(shard.bytes for shard in shards),
        "artifact_weight_bytes": sum(weight.packed().bytes for weight in weights),
        "window_cache_bytes": sliding,
        "cache_of_1024_tokens_bytes": full,
    }


def _needs(
    output: Path,
    weights: tuple[StoredWeight, ...],
    shards: tuple[Shard, ...],
    config: GemmaConfig,
    text: CalibrationText | None,
) -> tuple[fit.Need, ...]:
    disk = fit.Need(
        what=f"disk at {output}",
        needed=sum(shard.bytes for shard in shards),
        available=machine.free_disk(output),
        remedy="make room, or name another --output",
    )
    memory = fit.Need(
        what="memory to quantize",
        needed=peak_bytes(weights, config, text),
        available=machine.available_memory(),
        remedy="end other programs, or quantize on a larger machine: the result is the same",
    )
    return disk, memory


def _weights(weights: tuple[StoredWeight, ...], recipe: QuantRecipe) -> Table:
    rows = []
    for weight in weights:
        packed = weight.packed()
        rows.append((
            weight.name, " x ".join(map(str, weight.info.shape)), weight.info.encoding,
            _rule(weight, recipe), packed.layout.name,
            bits_per_weight(packed.bytes, weight.info.elements), packed.bytes,
        ))  # fmt: skip
    columns = ("weight", "shape", "stored", "rule", "becomes", "bits_per_weight", "bytes")
    return Table(columns=columns, rows=tuple(rows))


def _rule(weight: StoredWeight, recipe: QuantRecipe) -> str:
    if weight.rule is None:
        return "kept: never quantized"
    text = f"{weight.rule}: {recipe.rules[weight.rule].pattern}"
    return text if weight.config is not None else f"{text} (kept)"


def peak_bytes(
    weights: tuple[StoredWeight, ...], config: GemmaConfig, text: CalibrationText | None = None
) -> int:
    """The most memory that quantizing holds: a weight as stored, as int8 and as parts.

    Where it is calibrated, what calibration holds comes beside it.
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
