"""Measures what calibration takes: layers of a model's full width, with random weights and a random text.

    ./bazelw run //tests/benchmarks:calibrate_layers -- --layers 6 --device cuda --work DIR

Makes a checkpoint, quantizes it by recipe `calibrated`, end to end into a folder, and prints for each layer the seconds
from the reading of its first matrix to that of the next layer's, and the peaks of both memories. Which operations are
done does not depend on the numbers, but for factoring second moments again where they are not positive definite.
"""

import hashlib
import itertools
import time
from pathlib import Path
from unittest import mock

import tabulate
import torch
from absl import flags

from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.tensor import StoredTensor
from python.checkpoint.testing import synthetic
from python.console import flag_types, main, sizes
from python.console.errors import UsageError
from python.console.progress import resident_bytes
from python.model.gemma_config import ConfigError, GemmaConfig
from python.model.named_configs import named_config
from python.quant.calibration import calibration_text
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.recipe import layer_of, recipe
from python.quant.store import store

_MODEL = flags.DEFINE_string("model", "gemma4_31b", "A named configuration of python/model.")
_LAYERS = flags.DEFINE_integer("layers", 6, "Layers; every sixth is a full one.", lower_bound=6)
_TOKENS = flag_types.define_tokens(
    "calibration_tokens", calibration_text.MAX_TOKENS, "Tokens of the text.",
    least=calibration_text.SEQUENCE_TOKENS,
)  # fmt: skip
_DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "cuda"], "Where the numbers are chosen.")
_WORK = flag_types.define_path("work", None, "A folder for both checkpoints.", required=True)


def program() -> None:
    config = _config()
    work: Path = _WORK.value
    started = time.monotonic()
    synthetic.write_checkpoint(work / "plain", config, overwrite=True)
    print(f"checkpoint: {time.monotonic() - started:.0f} s")
    marks = _quantize(work)
    rows = [(name, end - start) for (name, start), (_, end) in itertools.pairwise(marks)]
    rows.append(("all", marks[-1][1] - marks[0][1]))
    print(tabulate.tabulate(rows, ("", "seconds"), floatfmt=".1f"))
    print(f"host memory at its peak: {sizes.format_bytes(resident_bytes('VmHWM'))}")
    if _DEVICE.value == "cuda":
        print(f"GPU memory at its peak: {sizes.format_bytes(torch.cuda.max_memory_allocated())}")


def _config() -> GemmaConfig:
    """Raises UsageError for flags that make no configuration, or ask for a GPU that is not there."""
    if _DEVICE.value == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no CUDA device here (use --device cpu)")
    try:
        return synthetic.scaled(named_config(_MODEL.value), layers=_LAYERS.value)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _quantize(work: Path) -> list[tuple[str, float]]:
    """Quantizes `plain`; when the first weight was read, the first matrix of each layer, the last norm, and the end."""
    marks: list[tuple[str, float]] = []
    with open_checkpoint(work / "plain") as checkpoint:
        read = checkpoint.read_stored

        def clocked(name: str) -> StoredTensor:
            stage = f"layer {layer_of(name)}" if name.endswith("proj.weight") else name
            if stage in (f"layer {len(marks) - 1}", "embed_tokens.weight", "norm.weight"):
                marks.append((stage, time.monotonic()))
            return read(name)

        with mock.patch.object(checkpoint, "read_stored", clocked):
            store.quantize_checkpoint(
                checkpoint,
                recipe("calibrated", checkpoint.config.num_layers, work),
                work / "quantized",
                store.Settings(device=_DEVICE.value, overwrite=True, progress="plain"),
                _text(checkpoint.config.vocab_size),
            )
    return [*marks, ("end", time.monotonic())]


def _text(vocabulary: int) -> CalibrationText:
    length = calibration_text.SEQUENCE_TOKENS
    shape = (_TOKENS.value // length, length)
    tokens = torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(0))
    return CalibrationText(tokens=tokens, sha256=hashlib.sha256(b"random").hexdigest())


if __name__ == "__main__":
    main.run(program)
