"""Whether a checkpoint holds exactly its model's weights, and the model's errors about it."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from python.checkpoint.tensor import TensorInfo
from python.console.errors import FormatError
from python.model.gemma_config import ConfigError, GemmaConfig
from python.model.weight_names import WeightError, expected_weights

_NAMES_SHOWN = 3


@contextlib.contextmanager
def as_format_errors(path: Path) -> Iterator[None]:
    """Inside, a ConfigError or WeightError becomes a FormatError about `path`."""
    try:
        yield
    except (ConfigError, WeightError) as error:
        raise FormatError(path, str(error)) from None


def check_complete(path: Path, config: GemmaConfig, found: Mapping[str, TensorInfo]) -> None:
    """Raises FormatError unless `found` has exactly the model's weights, each of its shape."""
    expected = expected_weights(config)
    missing = [name for name in expected if name not in found]
    if missing:
        shown = ", ".join(missing[:_NAMES_SHOWN])
        more = f" and {len(missing) - _NAMES_SHOWN} more" if len(missing) > _NAMES_SHOWN else ""
        raise FormatError(path, f"lacks {len(missing)} weights of {config.name}: {shown}{more}")
    for name, info in found.items():
        if name not in expected:
            raise FormatError(path, f"holds {name}, which {config.name} does not have")
        if info.shape != expected[name]:
            raise FormatError(
                path,
                f"{name} is {_shape(info.shape)}, {config.name} needs {_shape(expected[name])}",
            )


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes)) or "a scalar"
