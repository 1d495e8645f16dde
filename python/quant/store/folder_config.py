"""config.json of a quantized folder: what transformers and vLLM must know to load it.

It describes what the folder holds: the text model alone, under its own class and with names that
begin with `model.`; and a `quantization_config` that names torchao, without which transformers
takes no quantized matrix from the files and initialises each at random.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from python.checkpoint.config_hf_json import config_json
from python.model.gemma_config import GemmaConfig
from python.quant.recipe import QuantConfig

_CLASSES = {
    "gemma3_text": "Gemma3ForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "gemma4_unified_text": "Gemma4UnifiedForCausalLM",
}
_TEXT_TYPES = {
    "gemma3": "gemma3_text", "gemma4": "gemma4_text", "gemma4_unified": "gemma4_unified_text"
}  # fmt: skip
# What a multimodal config.json says of the text model beside text_config.
_OUTER_KEYS = ("bos_token_id", "pad_token_id", "dtype", "torch_dtype", "transformers_version")


def folder_config(
    source: Mapping[str, Any] | None,
    config: GemmaConfig,
    dtype: torch.dtype,
    quantized: Mapping[str, QuantConfig],
) -> dict[str, Any]:
    """The whole config.json.

    source: the checkpoint's config.json, None where it has none (a GGUF). dtype: of the weights
    that are not quantized. quantized: stored name -> how, of every quantized matrix.
    """
    values = config_json(config, dtype) if source is None else _text_config(source)
    values["tie_word_embeddings"] = config.tied_embeddings
    values["eos_token_id"] = list(config.stop_ids)
    values.pop("quantization_config", None)
    if quantized:
        values["quantization_config"] = _quantization_config(quantized)
    return values


def _text_config(source: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the text model, in one object."""
    text = source.get("text_config")
    values = dict(source)
    if isinstance(text, Mapping):
        values = {key: source[key] for key in _OUTER_KEYS if source.get(key) is not None}
        values |= {key: value for key, value in text.items() if value is not None}
        values |= {key: None for key, value in text.items() if value is None and key not in values}
    stated = str(values.get("model_type", source.get("model_type")))
    values["model_type"] = _TEXT_TYPES.get(stated, stated)
    values["architectures"] = [_CLASSES[values["model_type"]]]
    return values


def _quantization_config(quantized: Mapping[str, QuantConfig]) -> dict[str, Any]:
    """transformers' TorchAoConfig as JSON: one config for all, or one a module where they differ."""
    layers = {name: config for name, config in quantized.items() if ".layers." in name}
    kinds = _distinct(layers.values())
    if len(kinds) == 1:
        quant_type = _weight_only(kinds[0])
    else:
        named = {name.rsplit(".", 1)[0]: _weight_only(config) for name, config in quantized.items()}
        quant_type = {"_type": "FqnToConfig", "_version": 1, "_data": {"fqn_to_config": named}}
    return {
        "quant_method": "torchao",
        "quant_type": {"default": quant_type},
        "include_input_output_embeddings": len(layers) < len(quantized),
        "modules_to_not_convert": None,
        "untie_embedding_weights": False,
    }


def _distinct(configs: Iterable[QuantConfig]) -> list[QuantConfig]:
    """Those that differ in what torchao can state of them."""
    found = {(config.bits, config.group): config for config in configs}
    return list(found.values())


def _weight_only(config: QuantConfig) -> dict[str, Any]:
    """torchao's config whose tensors the files hold."""
    if config.bits == 4 and config.group is not None:
        return {
            "_type": "Int4WeightOnlyConfig", "_version": 2,
            "_data": {"group_size": config.group, "set_inductor_config": True},
        }  # fmt: skip
    granularity = (
        {"_type": "PerAxis", "_version": 1, "_data": {"axis": 0}}
        if config.group is None
        else {"_type": "PerGroup", "_version": 1, "_data": {"group_size": config.group}}
    )
    return {
        "_type": "IntxWeightOnlyConfig", "_version": 2,
        "_data": {
            "weight_dtype": {"_type": "torch.dtype", "_data": f"int{config.bits}"},
            "granularity": granularity,
        },
    }  # fmt: skip
