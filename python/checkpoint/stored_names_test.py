"""Tests of names."""

import pytest

from python.checkpoint.stored_names import (
    HF_PREFIXES,
    canonical_from_gguf,
    canonical_from_hf,
    gguf_from_canonical,
    hf_from_canonical,
)
from python.model.named_configs import (
    NAMED,
    gemma3_270m,
    gemma4_31b,
    tiny_gemma3,
    tiny_gemma4,
)
from python.model.transformer import GemmaModel
from python.model.weight_names import WeightError, expected_weights, is_norm


@pytest.mark.parametrize("make", [tiny_gemma4, tiny_gemma3])
@pytest.mark.parametrize("tied", [True, False])
def test_expected_weights_are_those_of_the_model(make, tied: bool) -> None:  # type: ignore[no-untyped-def]
    config = make(tied_embeddings=tied)
    state = GemmaModel(config, max_context=8, max_chunk=1).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected_weights(config)


def test_the_31b_has_the_published_shapes() -> None:
    weights = expected_weights(gemma4_31b())
    assert weights["layers.0.self_attn.q_proj.weight"] == (8192, 5376)
    assert weights["layers.0.self_attn.v_proj.weight"] == (4096, 5376)
    assert weights["layers.5.self_attn.q_proj.weight"] == (16384, 5376)
    assert weights["layers.5.self_attn.k_proj.weight"] == (2048, 5376)
    assert "layers.5.self_attn.v_proj.weight" not in weights
    assert weights["layers.59.self_attn.o_proj.weight"] == (5376, 16384)
    assert len(weights) == 60 * 14 - 10 + 2


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_name_goes_there_and_back(name: str) -> None:
    config = NAMED[name]()
    for weight in expected_weights(config):
        for prefix in HF_PREFIXES:
            assert canonical_from_hf(hf_from_canonical(weight, prefix), config) == weight
        assert canonical_from_gguf(gguf_from_canonical(weight), config) == weight


def test_gguf_names_are_llama_cpps() -> None:
    assert gguf_from_canonical("layers.3.layer_scalar") == "blk.3.layer_output_scale.weight"
    assert (
        gguf_from_canonical("layers.3.pre_feedforward_layernorm.weight") == "blk.3.ffn_norm.weight"
    )
    assert gguf_from_canonical("layers.3.post_feedforward_layernorm.weight") == (
        "blk.3.post_ffw_norm.weight"
    )


@pytest.mark.parametrize(
    "name",
    [
        "model.vision_tower.encoder.layers.0.self_attn.q_proj.linear.weight",
        "model.embed_vision.embedding_projection.weight",
        "model.audio_tower.layers.0.norm.weight",
        "multi_modal_projector.mm_input_projection_weight",
        "lm_head.weight",
    ],
)
def test_towers_and_tied_heads_are_left_out(name: str) -> None:
    assert canonical_from_hf(name, gemma4_31b()) is None


def test_an_untied_head_is_kept() -> None:
    config = tiny_gemma4(tied_embeddings=False)
    assert canonical_from_hf("lm_head.weight", config) == "lm_head.weight"
    assert canonical_from_gguf("output.weight", config) == "lm_head.weight"


def test_frequency_factors_of_a_gguf_are_no_weight() -> None:
    assert canonical_from_gguf("rope_freqs.weight", gemma4_31b()) is None


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.60.mlp.up_proj.weight",
        "model.layers.06.mlp.up_proj.weight",
        "model.layers.5.self_attn.v_proj.weight",
        "model.layers.0.self_attn.v_norm.weight",
        "model.layers.0.mlp.up_proj.bias",
        "model.norm.bias",
        "transformer.norm.weight",
        "model.",
    ],
)
def test_unknown_hugging_face_names_are_errors(name: str) -> None:
    with pytest.raises(WeightError, match=name.replace(".", r"\.")):
        canonical_from_hf(name, gemma4_31b())


@pytest.mark.parametrize(
    "name",
    [
        "blk.60.ffn_up.weight",
        "blk.0.attn_qkv.weight",
        "blk.5.attn_v.weight",
        "output.weight",
        "mm.0.weight",
        "blk.٣.ffn_up.weight",
    ],
)
def test_unknown_gguf_names_are_errors(name: str) -> None:
    with pytest.raises(WeightError, match=name.replace(".", r"\.")):
        canonical_from_gguf(name, gemma4_31b())


def test_norms_are_recognised() -> None:
    names = expected_weights(gemma3_270m())
    norms = {name for name in names if is_norm(name)}
    assert norms == {name for name, shape in names.items() if len(shape) == 1}
