"""The judge: transformers on the very weights that we ship to the runner.

Nothing here imports our own code. A GGUF is read and dequantized by gguf-py, so a mistake in our reader cannot hide.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TypeVar

import gguf
import numpy as np
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

_Model = TypeVar("_Model", bound=PreTrainedModel)

# The greedy continuations of prompts.json: how long, and what ends one (Gemma 3's end of text and of turn).
NEW_TOKENS = 48
END_TOKENS = (1, 106)

# GGUF name of a layer's tensor -> transformers' name.
_GEMMA3_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def _gemma3_name(name: str) -> str:
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, kind, _ = name.split(".")
    return f"model.layers.{layer}.{_GEMMA3_LAYER_NAMES[kind]}.weight"


@functools.cache
def _gguf(path: Path) -> gguf.GGUFReader:
    """gguf-py takes many seconds for the index of a file with a large vocabulary."""
    return gguf.GGUFReader(path)


def gemma3_270m_from_gguf(path: Path) -> Gemma3ForCausalLM:
    """transformers' Gemma 3 270M in float32 with the GGUF's dequantized weights (norms: GGUF stores 1 + w)."""
    config = Gemma3TextConfig(
        vocab_size=262144,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        query_pre_attn_scalar=256,
        sliding_window=512,
        max_position_embeddings=32768,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    return gemma3_from_gguf(path, config)


def gemma3_from_gguf(path: Path, config: Gemma3TextConfig) -> Gemma3ForCausalLM:
    """transformers' Gemma 3 in float32 with the GGUF's dequantized weights (norms: GGUF stores 1 + w)."""
    weights = {}
    for tensor in _gguf(path).tensors:
        values = np.array(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        name = _gemma3_name(tensor.name)
        weights[name] = torch.from_numpy(values - 1 if "norm" in name else values)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    with no_init_weights():  # random ones, which take seconds
        model = Gemma3ForCausalLM(config)
    model.load_state_dict(weights, strict=True, assign=True)
    return model.eval()


def tiny_gemma4(*, layers: int, window: int, seed: int, vocab: int = 256) -> Gemma4ForCausalLM:
    """A random Gemma 4 of the 31B's shape in small (two kinds of layers, K = V on the full ones), float32."""
    config = Gemma4TextConfig(
        vocab_size=vocab,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        global_head_dim=128,
        num_global_key_value_heads=1,
        attention_k_eq_v=True,
        sliding_window=window,
        hidden_size_per_layer_input=0,
        final_logit_softcapping=30.0,
        max_position_embeddings=512,
        attn_implementation="eager",
    )
    return _randomized(Gemma4ForCausalLM(config), seed)


def tiny_gemma3(*, layers: int, window: int, seed: int, vocab: int = 256) -> Gemma3ForCausalLM:
    """A random Gemma 3 of the 270M's shape in small, float32."""
    config = Gemma3TextConfig(
        vocab_size=vocab,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=64,
        query_pre_attn_scalar=64,
        sliding_window=window,
        max_position_embeddings=512,
        attn_implementation="eager",
    )
    return _randomized(Gemma3ForCausalLM(config), seed)


def _randomized(model: _Model, seed: int) -> _Model:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = 1 + 0.1 * noise if "norm" in name else 0.05 * noise
    for layer in model.model.layers:
        if hasattr(layer, "layer_scalar"):
            layer.layer_scalar.fill_(0.9)
    model.tie_weights()
    return model.eval()


@torch.no_grad()
def greedy(model: PreTrainedModel, tokens: list[int]) -> list[int]:
    """The greedy continuation of `tokens`, NEW_TOKENS long or up to an end token, decoded step by step."""
    ids = model.generate(  # [1, tokens + new tokens]
        torch.tensor([tokens]),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=list(END_TOKENS),
    )
    return list(ids[0, len(tokens) :].tolist())


@torch.no_grad()
def log_probabilities(model: PreTrainedModel, tokens: list[int]) -> torch.Tensor:
    """log P(next token | tokens[..i]) of one full forward pass: [tokens, vocabulary], in the model's precision."""
    return torch.log_softmax(model(torch.tensor([tokens])).logits[0], dim=-1)


def gguf_pieces(path: Path) -> list[str]:
    """The vocabulary's pieces, by id."""
    return list(_gguf(path).fields["tokenizer.ggml.tokens"].contents())


def decode_pieces(pieces: list[str]) -> str:
    """The text of pieces: U+2581 is a space, `<0xHH>` a byte."""
    data = b""
    for piece in pieces:
        if len(piece) == 6 and piece.startswith("<0x"):
            data += bytes([int(piece[3:5], 16)])
        else:
            data += piece.replace("\u2581", " ").encode()
    return data.decode(errors="replace")
