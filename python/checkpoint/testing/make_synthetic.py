"""Makes a synthetic Hugging Face checkpoint with real names and shapes and random weights.

    ./bazelw run //python/checkpoint/testing:make_synthetic -- --layers 6 --output DIR

With --width_divisor 8 it is small enough for a test. The same flags give the same bytes.
"""

from absl import flags

from python.checkpoint.testing import synthetic
from python.console import main
from python.console.errors import UsageError
from python.model.gemma_config import ConfigError, GemmaConfig
from python.model.named_configs import named_config

_MODEL = flags.DEFINE_string("model", "gemma4_31b", "A named configuration of python/model.")
_LAYERS = flags.DEFINE_integer(
    "layers", None, "Number of layers, a multiple of 6; all by default.", lower_bound=6
)
_DIVISOR = flags.DEFINE_integer(
    "width_divisor", 1, "Divides hidden and intermediate sizes.", lower_bound=1
)
_VOCAB = flags.DEFINE_integer("vocab_size", None, "Size of the vocabulary.", lower_bound=512)
_SHARD = flags.DEFINE_integer(
    "shard_bytes", 5_000_000_000, "Largest size of a shard.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the random weights.", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "The folder to make.", required=True)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace an existing checkpoint.")


def scaled_config() -> GemmaConfig:
    """The named configuration with the flags' sizes."""
    try:
        config = named_config(_MODEL.value)
        return synthetic.scaled(
            config,
            layers=_LAYERS.value or config.num_layers,
            width_divisor=_DIVISOR.value,
            vocab_size=_VOCAB.value,
        )
    except ConfigError as error:
        raise UsageError(str(error)) from None


def program() -> None:
    output = main.user_path(_OUTPUT.value)
    synthetic.write_checkpoint(
        output,
        scaled_config(),
        seed=_SEED.value,
        shard_bytes=_SHARD.value,
        overwrite=_OVERWRITE.value,
    )
    print(output)


if __name__ == "__main__":
    main.run(program)
