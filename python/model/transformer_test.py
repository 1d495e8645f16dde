"""The model against transformers on the same random weights, float32.

float32 itself leaves about 2e-4 between two orders of summation on these models: transformers' own
chunked run differs by that much from its whole-prompt run. So every chunking is compared with
transformers run in the same chunks (2e-4; usually equal to the last bit), and with transformers in
float64 (the truth, 5e-4).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from python.model.gemma_config import ConfigError, GemmaConfig
from python.model.named_configs import gemma4_31b, tiny_gemma3, tiny_gemma4
from python.model.ops import PositionError
from python.model.testing.hf_reference import hf_model, our_model, random_tokens
from python.model.transformer import GemmaModel

torch.set_num_threads(1)  # models this small lose time with more

TOLERANCE = 2e-4
TOLERANCE_TO_FLOAT64 = 5e-4
TOKENS = 100  # every cache below wraps at least twice


def small(make: Any, seed: int, **changes: Any) -> tuple[GemmaConfig, int]:
    sizes = {"hidden_size": 128, "intermediate_size": 192, "vocab_size": 128, "stop_ids": (1,)}
    return make(**(sizes | changes)), seed


CASES = [
    (tiny_gemma4(), 0),
    small(tiny_gemma4, 1, num_layers=7, window=7),
    small(tiny_gemma4, 2, num_layers=2, window=1),
    small(tiny_gemma4, 3, num_layers=3, window=2, num_heads=8, kv_heads=4, full_kv_heads=2),
    small(tiny_gemma4, 4, num_layers=2, window=33, final_softcap=None),
    small(tiny_gemma4, 5, num_layers=2, window=5, tied_embeddings=False, rms_norm_eps=0.05),
    (tiny_gemma3(), 0),
    small(tiny_gemma3, 1, num_layers=3, window=5, final_softcap=20.0),
    small(tiny_gemma3, 2, num_layers=2, window=33, num_heads=2, kv_heads=2, rms_norm_eps=0.05),
]


def case_name(case: tuple[GemmaConfig, int]) -> str:
    config, seed = case
    return f"{config.name}-{config.num_layers}layers-window{config.sliding.window}-seed{seed}"


def chunk_sizes(window: int) -> list[int]:
    return sorted({1, 2, max(1, window - 1), window, window + 1, 2 * window + 1, TOKENS})


def chunks(tokens: torch.Tensor, size: int) -> Iterator[tuple[int, torch.Tensor]]:
    """(position of the first token, its chunk), the last one shorter."""
    for start in range(0, tokens.shape[1], size):
        yield start, tokens[:, start : start + size]


def our_logits(model: GemmaModel, tokens: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Logits of all tokens, in chunks of the given sizes, the last size repeated."""
    out, start = [], 0
    for index in range(tokens.shape[1]):
        if start >= tokens.shape[1]:
            break
        size = sizes[min(index, len(sizes) - 1)]
        out.append(model(tokens[:, start : start + size], torch.tensor([start])))
        start += size
    return torch.cat(out, dim=1)


def hf_logits(model: Any, tokens: torch.Tensor, size: int) -> torch.Tensor:
    if model.config.sliding_window == 1:  # its cache keeps the last 0 keys as [-0:], which is all
        size = tokens.shape[1]
    cache = DynamicCache(config=model.config)
    return torch.cat(
        [model(chunk, past_key_values=cache).logits for _, chunk in chunks(tokens, size)], dim=1
    )


def check(name: str, found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    error = (found - expected).abs().max().item()
    print(f"{name}: max error {error:.2e}, {error / tolerance:.0%} of the tolerance")
    assert error <= tolerance, name


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_every_chunking_equals_transformers(case: tuple[GemmaConfig, int]) -> None:
    config, seed = case
    hf = hf_model(config, seed)
    truth = hf_model(config, seed, torch.float64)(tokens := random_tokens(config, TOKENS, seed))
    assert config.sliding.window is not None
    for size in chunk_sizes(config.sliding.window):
        model = our_model(config, hf, max_context=TOKENS + 3, max_chunk=size)
        found, expected = our_logits(model, tokens, [size]), hf_logits(hf, tokens, size)
        check(f"chunks of {size}", found, expected, TOLERANCE)
        check(f"chunks of {size}, float64", found, truth.logits, TOLERANCE_TO_FLOAT64)
        assert torch.equal(found.argmax(-1), expected.argmax(-1))


@pytest.mark.parametrize("make", [tiny_gemma4, tiny_gemma3])
def test_prefill_then_decode_equals_transformers(make: Any) -> None:
    config, seed = small(make, 7, num_layers=7, window=6)
    hf = hf_model(config, seed)
    tokens = random_tokens(config, TOKENS, seed)
    model = our_model(config, hf, max_context=TOKENS, max_chunk=40)
    check(
        "40, 13, then one by one", our_logits(model, tokens, [40, 13, 1]), hf(tokens).logits, 3e-4
    )


def test_a_chunk_shorter_than_the_maximum_uses_the_same_caches() -> None:
    config, seed = small(tiny_gemma4, 8, num_layers=2, window=5)
    hf = hf_model(config, seed)
    tokens = random_tokens(config, TOKENS, seed)
    model = our_model(config, hf, max_context=TOKENS, max_chunk=17)
    found = our_logits(model, tokens, [17, 3, 1, 16, 2, 11])
    check("chunks of all sizes", found, hf(tokens).logits, TOLERANCE)


def test_starting_again_at_position_0_forgets_the_former_sequence() -> None:
    config, seed = small(tiny_gemma4, 9, num_layers=2, window=5)
    hf = hf_model(config, seed)
    model = our_model(config, hf, max_context=TOKENS, max_chunk=9)
    our_logits(model, random_tokens(config, TOKENS, 1), [9])
    tokens = random_tokens(config, 50, 2)
    check("second sequence", our_logits(model, tokens, [9]), hf(tokens).logits, TOLERANCE)


def test_bfloat16_stays_close_to_the_float32_model() -> None:
    config, seed = small(tiny_gemma3, 3, num_layers=2, window=5)
    hf = hf_model(config, seed)
    tokens = random_tokens(config, 40, seed)
    model = GemmaModel(config, max_context=40, max_chunk=8, dtype=torch.bfloat16)
    exact = our_model(config, hf, max_context=40, max_chunk=8)
    for name, parameter in model.named_parameters():
        parameter.copy_(exact.get_parameter(name))
    assert model.get_parameter("norm.weight").dtype == torch.float32
    error = (our_logits(model, tokens, [8]) - our_logits(exact, tokens, [8])).abs().max().item()
    assert (
        1e-3 < error < 0.5
    )  # it did compute in bfloat16, and nothing is off by more than rounding


def test_some_layers_alone_keep_their_numbers() -> None:
    model = GemmaModel(tiny_gemma4(), max_context=32, max_chunk=8, layer_indices=(0, 5))
    names = {name.split(".")[1] for name in model.state_dict() if name.startswith("layers.")}
    assert names == {"0", "5"}
    assert model.get_parameter("layers.5.self_attn.q_proj.weight").shape == (4 * 128, 256)
    assert model(torch.tensor([[1, 2, 3]]), torch.tensor([0])).shape == (1, 3, 256)


def test_caches_hold_what_the_limits_need_and_no_more() -> None:
    config = tiny_gemma4()
    model = GemmaModel(config, max_context=200, max_chunk=40)
    assert model.get_buffer("layers.0.kv_cache.keys").shape == (2, 15 + 40, 64)
    assert model.get_buffer("layers.5.kv_cache.values").shape == (1, 200, 128)
    short = GemmaModel(config, max_context=20, max_chunk=10)
    assert short.get_buffer("layers.0.kv_cache.keys").shape == (2, 20, 64)


def test_positions_beyond_the_limits_are_refused() -> None:
    model = GemmaModel(tiny_gemma4(), max_context=40, max_chunk=8)
    with pytest.raises(PositionError, match="positions 0 to 40 do not fit the KV cache of 40"):
        model(torch.zeros(1, 2, dtype=torch.int64), torch.tensor([39]))
    with pytest.raises(PositionError, match="positions 5 to 28 do not fit the KV cache of 23"):
        model(torch.zeros(1, 9, dtype=torch.int64), torch.tensor([20]))
    with pytest.raises(PositionError, match="start -1 is negative"):
        model(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([-1]))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_context": 513, "max_chunk": 8}, r"max_context 513 is outside 1\.\.512"),
        ({"max_context": 8, "max_chunk": 9}, r"max_chunk 9 is outside 1\.\.max_context 8"),
        ({"max_context": 8, "max_chunk": 8, "layer_indices": (6,)}, "layer 6 is outside"),
    ],
)
def test_impossible_limits_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GemmaModel(tiny_gemma4(), **limits)


def test_the_31b_has_the_published_number_of_weights() -> None:
    model = GemmaModel(gemma4_31b(), max_context=64, max_chunk=8, weights_device="meta")
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(30.697e9, rel=1e-4)
