"""Small GGUF files of whole models: every weight of a tiny config, in any mixture of types."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from python.checkpoint.ggml_types import F32, GgmlType
from python.checkpoint.stored_names import gguf_from_canonical
from python.checkpoint.testing import gguf_bytes
from python.checkpoint.testing.gguf_bytes import ARRAY, BOOL, I32, STRING, U32, pair, scalar, string
from python.model.gemma_config import GemmaConfig
from python.model.weight_names import expected_weights

SPECIAL_TOKENS = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",
)
# Canonical name and shape -> type and its bytes.
Encode = Callable[[str, tuple[int, ...]], tuple[GgmlType, np.ndarray]]


def tokens_of(config: GemmaConfig) -> list[str]:
    """As many tokens as the config's vocabulary has; the special ones come first."""
    rest = config.vocab_size - len(SPECIAL_TOKENS)
    return [*SPECIAL_TOKENS, *(f"piece{number}" for number in range(rest))]


def metadata(config: GemmaConfig) -> dict[str, bytes]:
    """Key -> entry: the architecture's keys as llama.cpp writes them, and a tokenizer."""
    arch = "gemma4" if config.layer_scalar else "gemma3"
    pairs = {"general.architecture": gguf_bytes.text_pair("general.architecture", arch)}

    def number(key: str, value: float, kind: int = U32) -> None:
        pairs[key] = gguf_bytes.number_pair(key, kind, value)

    def items(key: str, kind: int, values: Sequence[Any]) -> None:
        encoded = [string(v) if kind == STRING else scalar(kind, v) for v in values]
        pairs[key] = pair(key, ARRAY, gguf_bytes.array(kind, encoded))

    number(f"{arch}.context_length", config.max_positions)
    number(f"{arch}.embedding_length", config.hidden_size)
    number(f"{arch}.block_count", config.num_layers)
    number(f"{arch}.feed_forward_length", config.intermediate_size)
    number(f"{arch}.attention.head_count", config.num_heads)
    number(f"{arch}.attention.key_length", config.full.head_dim)
    number(f"{arch}.attention.value_length", config.full.head_dim)
    number(f"{arch}.attention.sliding_window", config.sliding.window or 0)
    number(f"{arch}.attention.layer_norm_rms_epsilon", config.rms_norm_eps, gguf_bytes.F32)
    number(f"{arch}.rope.freq_base", config.full.rope_theta, gguf_bytes.F32)
    number(f"{arch}.rope.freq_base_swa", config.sliding.rope_theta, gguf_bytes.F32)
    slides = [kind == "sliding" for kind in config.layer_kinds]
    items(f"{arch}.attention.sliding_window_pattern", BOOL, slides)
    heads = [config.attention(layer).kv_heads for layer in range(config.num_layers)]
    items(f"{arch}.attention.head_count_kv", I32, heads)
    if arch == "gemma4":
        number(f"{arch}.embedding_length_per_layer_input", 0)
        number(f"{arch}.attention.shared_kv_layers", 0)
        number(f"{arch}.attention.key_length_swa", config.sliding.head_dim)
        number(f"{arch}.attention.value_length_swa", config.sliding.head_dim)
        number(f"{arch}.final_logit_softcapping", config.final_softcap or 0, gguf_bytes.F32)
    pairs["tokenizer.ggml.model"] = gguf_bytes.text_pair("tokenizer.ggml.model", "llama")
    items("tokenizer.ggml.tokens", STRING, tokens_of(config))
    items("tokenizer.ggml.scores", gguf_bytes.F32, [-float(i) for i in range(config.vocab_size)])
    items("tokenizer.ggml.token_type", I32, [1] * config.vocab_size)
    number("tokenizer.ggml.bos_token_id", 2)
    number("tokenizer.ggml.eos_token_id", 1)
    return pairs


def random_f32(name: str, shape: tuple[int, ...]) -> tuple[GgmlType, np.ndarray]:
    """An `Encode`: float32 around 0, or around 1 for vectors."""
    random = np.random.default_rng([7, *name.encode()])
    values = random.standard_normal(shape, dtype=np.float32)
    return F32, 1 + values / 10 if len(shape) == 1 else values / 20


def tensors(config: GemmaConfig, encode: Encode = random_f32) -> dict[str, Any]:
    """GGUF name -> (name, type, bytes, shape) of every weight, as `gguf_bytes.gguf_file` wants it."""
    result = {}
    for name, shape in expected_weights(config).items():
        kind, data = encode(name, shape)
        stored = gguf_from_canonical(name)
        result[stored] = (stored, kind, data, shape)
    return result


def build(config: GemmaConfig, encode: Encode = random_f32) -> bytes:
    """The bytes of a whole file."""
    return gguf_bytes.gguf_file(
        list(metadata(config).values()), list(tensors(config, encode).values())
    )


def without_tokenizer(config: GemmaConfig, encode: Encode = random_f32) -> bytes:
    """The bytes of a file that states the size of its vocabulary and holds none of it."""
    entries = metadata(config).items()
    kept = [entry for key, entry in entries if not key.startswith("tokenizer.")]
    arch = "gemma4" if config.layer_scalar else "gemma3"
    kept.append(gguf_bytes.number_pair(f"{arch}.vocab_size", U32, config.vocab_size))
    return gguf_bytes.gguf_file(kept, list(tensors(config, encode).values()))
