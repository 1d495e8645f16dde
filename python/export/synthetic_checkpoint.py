"""Makes a small Hugging Face checkpoint with random weights: shaped like Gemma 4, tokenizer and
all.

For builds and tests that need a whole checkpoint where no real one may be had. What must stay true:
the same flags give the same bytes; every tensor has the name, shape and type that a released
checkpoint gives it, and the numbers are such that logits neither explode nor agree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from absl import flags
from safetensors.torch import save_file

from python.artifact import atomic_write
from python.console import main
from python.console.errors import UsageError
from python.model.gemma_config import GemmaConfig
from python.model.named_configs import tiny_gemma4
from python.model.names import expected_weights, hf_from_canonical, is_norm

SPACE = "\u2581"
_CONTROL = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<|turn>",
    "<turn|>",
    "<|channel>",
    "<channel|>",
    "<|think|>",
)
_STOPS = ("<eos>", "<turn|>")
_WORDS = (
    "the",
    "and",
    "of",
    "to",
    "in",
    "is",
    "that",
    "it",
    "was",
    "for",
    "capital",
    "France",
    "Paris",
    "model",
    "token",
)
_VOCABULARY = 512
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_KINDS = {"sliding": "sliding_attention", "full": "full_attention"}

FLAGS = flags.FLAGS


def synthetic_config(**changes: Any) -> GemmaConfig:
    """Gemma 4 in small: 6 layers of which the last is full, window 16, 512 positions."""
    return tiny_gemma4(
        **(
            {
                "vocab_size": _VOCABULARY,
                "stop_ids": _ids_of(_STOPS),
                "bos_id": _ids_of(("<bos>",))[0],
            }
            | changes
        )
    )


def write_checkpoint(folder: Path, config: GemmaConfig, dtype: str, seed: int) -> None:
    """Fills an existing, empty folder with config, generation config, tokenizer and weights."""
    _write_json(folder / "config.json", config_json(config, dtype))
    generation = {
        "bos_token_id": config.bos_id, "do_sample": True, "eos_token_id": list(config.stop_ids),
        "pad_token_id": 0, "temperature": 1.0, "top_k": 64, "top_p": 0.95,
    }  # fmt: skip
    _write_json(folder / "generation_config.json", generation)
    _write_json(folder / "tokenizer.json", tokenizer_json(config.vocab_size))
    _write_json(folder / "tokenizer_config.json", {"bos_token": "<bos>", "eos_token": "<eos>"})
    weights = random_weights(config, _DTYPES[dtype], seed)
    stored = {hf_from_canonical(name): tensor for name, tensor in weights.items()}
    save_file(stored, str(folder / "model.safetensors"), metadata={"format": "pt"})


def random_weights(config: GemmaConfig, dtype: torch.dtype, seed: int) -> dict[str, torch.Tensor]:
    """Canonical name -> tensor: projections that keep the size of what they see, norms about
    one.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in expected_weights(config).items():
        if is_norm(name) or name.endswith("layer_scalar"):
            tensor = 0.75 + 0.5 * torch.rand(shape, generator=generator)
        else:
            tensor = torch.randn(shape, generator=generator) * shape[-1] ** -0.5
        weights[name] = tensor.to(dtype)
    return weights


def config_json(config: GemmaConfig, dtype: str) -> dict[str, Any]:
    """config.json of a Gemma 4 text model, as the released checkpoints spell it."""
    sliding, full = config.sliding, config.full
    return {
        "architectures": ["Gemma4ForCausalLM"],
        "attention_k_eq_v": full.k_eq_v,
        "bos_token_id": config.bos_id,
        "dtype": dtype,
        "eos_token_id": list(config.stop_ids),
        "final_logit_softcapping": config.final_softcap,
        "global_head_dim": full.head_dim,
        "head_dim": sliding.head_dim,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": config.hidden_size,
        "hidden_size_per_layer_input": 0,
        "intermediate_size": config.intermediate_size,
        "layer_types": [_KINDS[kind] for kind in config.layer_kinds],
        "max_position_embeddings": config.max_positions,
        "model_type": "gemma4_text",
        "num_attention_heads": config.num_heads,
        "num_global_key_value_heads": full.kv_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": sliding.kv_heads,
        "pad_token_id": 0,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_parameters": {
            "full_attention": {
                "partial_rotary_factor": full.rotary_fraction, "rope_theta": full.rope_theta, "rope_type": full.rope_type,
            },
            "sliding_attention": {"rope_theta": sliding.rope_theta, "rope_type": sliding.rope_type},
        },
        "sliding_window": sliding.window,
        "tie_word_embeddings": config.tied_embeddings,
        "vocab_size": config.vocab_size,
    }  # fmt: skip


def tokenizer_json(vocabulary: int) -> dict[str, Any]:
    """A byte-pair encoding with byte fallback in Gemma's form: markers, bytes, ASCII, a few words,
    then unused pieces.
    """
    pieces = [*_CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), "\n", SPACE]
    pieces += [chr(code) for code in range(0x21, 0x7F)]
    merges = _merges()
    pieces += [left + right for left, right in merges]
    if len(pieces) > vocabulary:
        raise UsageError(
            f"a vocabulary of {vocabulary} is too small: {len(pieces)} pieces are needed"
        )
    pieces += [f"<unused{number}>" for number in range(vocabulary - len(pieces))]
    space = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    bos, text = (
        {"SpecialToken": {"id": "<bos>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    )
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token, id_) for id_, token in enumerate(_CONTROL)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, text], "pair": [bos, text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [_CONTROL.index("<bos>")], "tokens": ["<bos>"]}},
        },
        "decoder": {"type": "Sequence", "decoders": [space, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": {piece: id_ for id_, piece in enumerate(pieces)}, "merges": [list(pair) for pair in merges],
        },
    }  # fmt: skip


def _merges() -> list[tuple[str, str]]:
    """Merges that build each word, and its form after a space, from the left."""
    merges: dict[tuple[str, str], None] = {}
    for word in (*(SPACE + word for word in _WORDS), *_WORDS):
        for end in range(1, len(word)):
            merges.setdefault((word[:end], word[end]))
    return list(merges)


def _added(token: str, id_: int) -> dict[str, Any]:
    flags_off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id_, "content": token, **flags_off, "special": True}


def _ids_of(tokens: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(_CONTROL.index(token) for token in tokens)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _make_checkpoint() -> None:
    config = synthetic_config(num_layers=FLAGS.num_layers, window=FLAGS.window)
    output = main.user_path(FLAGS.output)
    with atomic_write.atomic_folder(
        output, marker="config.json", overwrite=FLAGS.overwrite
    ) as folder:
        write_checkpoint(folder, config, FLAGS.dtype, FLAGS.seed)


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "The folder to make.", required=True)
    flags.DEFINE_integer("num_layers", 6, "Layers; the last is a full one.", lower_bound=1)
    flags.DEFINE_integer("window", 16, "Window of the sliding layers.", lower_bound=1)
    flags.DEFINE_enum("dtype", "float32", sorted(_DTYPES), "Type of the weights.")
    flags.DEFINE_integer("seed", 0, "Seed of the weights.")
    flags.DEFINE_bool("overwrite", False, "Replace the folder, if there is one.")
    main.run(_make_checkpoint)
