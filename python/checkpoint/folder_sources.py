"""Which tensors of a safetensors folder make up which weight.

What the tensors are called and what type they have says in which form a weight is stored; the
configuration says what they cannot: how many bits, and how many columns share a scale. So a folder
whose configuration speaks of quantization, but whose weights are plain, is a plain checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from python.artifact.strict_json import Fields
from python.checkpoint.compressed_tensors_config import CompressedTensorsConfig, WeightScheme
from python.checkpoint.executorch_source import ExecutorchInt4Source, with_conventions
from python.checkpoint.float_sources import DEFAULT_BLOCK, Float8Source, Nvfp4Source
from python.checkpoint.integer_sources import AwqIntegers, CompressedIntegers, GptqIntegers
from python.checkpoint.module_patterns import Module
from python.checkpoint.safetensors_reader import SafetensorsFolder
from python.checkpoint.stored_names import HF_PREFIXES
from python.checkpoint.torchao_source import TorchaoSource, torchao_sources
from python.checkpoint.weight_source import PlainSource, WeightSource
from python.console.errors import FormatError
from python.console.notes import note

_PLAIN = ("F64", "F32", "F16", "BF16")
# A tensor's last name -> which part of its module's weight it is.
_PARTS = {
    "weight": "weight",
    "weight_packed": "packed",
    "weight_scale": "scale",
    "weight_zero_point": "zero_point",
    "weight_shape": "shape",
    "weight_g_idx": "g_idx",
    "weight_global_scale": "global_scale",
    "weight_scale_2": "factor",
    "weight_scale_inv": "scale_inv",
    "qweight": "qweight",
    "qzeros": "qzeros",
    "scales": "scales",
    "g_idx": "g_idx",
}
# Scales of what is computed, not stored: caches and activations keep the types of the artifact.
_CACHE_SCALES = tuple(f"{which}_{what}" for which in "qkv" for what in ("scale", "zero_point"))
_INPUT_SCALES = (
    "activation_scale", "input_scale", "input_zero_point", "input_global_scale", "output_scale",
    "output_zero_point",
)  # fmt: skip
_METHODS = ("compressed-tensors", "gptq", "awq", "fp8", "modelopt", "torchao")

Parts = dict[str, str]
MakeSource = Callable[[str, Parts], WeightSource]


def folder_sources(
    files: SafetensorsFolder, config: Mapping[str, Any], is_ours: Callable[[str], bool]
) -> dict[str, WeightSource]:
    """Every weight of the folder by the name that it would have if it were plain.

    `is_ours` says of such a name whether the text model has it: others stay as they are, so that a
    tower may be stored in any form. Raises FormatError.
    """
    sources = with_conventions(torchao_sources(files), config, files.folder)
    taken = {part for source in sources.values() for part in source.parts.values()}
    quantization = _quantization(config, files.folder)
    modules, plain = _modules(files, [it for it in files.names if it not in taken], is_ours)
    make = _SourceMaker(files, quantization)
    for name, parts in modules.items():
        sources[name] = make(name, parts)
    for name in plain:
        sources[name] = PlainSource(files, name)
    _check_method(quantization, sources, files.folder)
    make.say_what_is_ignored(plain)
    return {name: source for name, source in sources.items() if not _is_ignored(name)}


def _quantization(config: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    value = config.get("quantization_config")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FormatError(folder, "'quantization_config' of config.json must be an object")
    return value


def _modules(
    files: SafetensorsFolder, names: list[str], is_ours: Callable[[str], bool]
) -> tuple[dict[str, Parts], list[str]]:
    """Weights that are not one tensor of plain numbers: name -> parts. And the other tensors."""
    found: dict[str, Parts] = {}
    plain = []
    for name in names:
        module, _, leaf = name.rpartition(".")
        weight = f"{module}.weight"
        if leaf not in _PARTS or not module or not is_ours(weight):
            plain.append(name)
        else:
            found.setdefault(weight, {})[_PARTS[leaf]] = name
    alone = [
        name
        for name, parts in found.items()
        if list(parts) == ["weight"] and files.entry(parts["weight"]).dtype in _PLAIN
    ]
    for name in alone:
        del found[name]
    return found, [*plain, *alone]


def _is_ignored(name: str) -> bool:
    return name.rpartition(".")[2] in (*_CACHE_SCALES, *_INPUT_SCALES)


class _SourceMaker:
    """Chooses the form of a weight by its parts."""

    def __init__(self, files: SafetensorsFolder, quantization: Mapping[str, Any]) -> None:
        self._files = files
        self._quantization = quantization
        self._config_path = files.folder / "config.json"
        self._scheme_file: CompressedTensorsConfig | None = None
        self._scaled_inputs = 0

    def __call__(self, name: str, parts: Parts) -> WeightSource:
        kinds = set(parts)
        if "qweight" in kinds:
            return self._columns(name, parts)
        if "packed" in kinds:
            if self._type(parts["packed"]) != "U8":
                return self._integers(name, parts)
            renamed = _renamed(parts, {"packed": "pairs"})
            return Nvfp4Source(self._files, name, self._nvfp4_parts(name, renamed))
        if "weight" not in kinds:
            shown = ", ".join(sorted(parts.values())[:3])
            raise FormatError(self._files.folder, f"holds {shown:.180}, but no {name!r:.90}")
        return self._whole(name, parts)

    def say_what_is_ignored(self, names: list[str]) -> None:
        """One line about what the folder has scales for and the artifact has not."""
        leaves = [name.rpartition(".")[2] for name in names]
        caches = sum(leaf in _CACHE_SCALES for leaf in leaves)
        inputs = sum(leaf in _INPUT_SCALES for leaf in leaves)
        if caches:
            note(
                f"{self._files.folder}: {caches} scales of a quantized KV cache are ignored; the"
                " type of keys and values is --kv_cache_dtype"
            )
        if inputs or self._scaled_inputs:
            note(f"{self._files.folder}: its weights are taken, its activations are not quantized")

    def _whole(self, name: str, parts: Parts) -> WeightSource:
        """A `weight` that is a matrix of its own, beside scales."""
        kind = self._type(parts["weight"])
        if kind == "I8":
            return self._integers(name, parts)
        if kind == "F8_E4M3":
            return self._float8(name, parts)
        if kind == "U8" and "factor" in parts:
            return Nvfp4Source(self._files, name, _renamed(parts, {"weight": "pairs"}))
        if kind in _PLAIN and "scale" in parts:
            raise FormatError(
                self._files.folder,
                f"{name!r:.90} is {kind} beside a scale: its quantization was never carried out"
                " (save it compressed)",
            )
        raise FormatError(self._files.folder, f"{name!r:.90} is {kind}, in a form that is not read")

    def _float8(self, name: str, parts: Parts) -> WeightSource:
        if "scale_inv" in parts:
            sizes = self._quantization.get("weight_block_size", list(DEFAULT_BLOCK))
            if not (
                isinstance(sizes, list)
                and len(sizes) == 2
                and all(type(size) is int and 0 < size < 1 << 24 for size in sizes)
            ):
                raise FormatError(
                    self._config_path, f"'weight_block_size' is {sizes!r:.40}, not two sizes"
                )
            block: tuple[int, int] | None = (sizes[0], sizes[1])
            return Float8Source(self._files, name, _renamed(parts, {"scale_inv": "scale"}), block)
        block = None
        if self._quantization.get("quant_method") == "compressed-tensors":
            scheme = self._scheme(name)
            if not scheme.is_float or scheme.bits != 8:
                raise self._contradiction(name, "F8_E4M3")
            block = scheme.block or (None if scheme.group is None else (1, scheme.group))
        return Float8Source(self._files, name, parts, block)

    def _integers(self, name: str, parts: Parts) -> WeightSource:
        scheme = self._scheme(name)
        if scheme.is_float:
            raise self._contradiction(name, "integers")
        return CompressedIntegers(
            self._files, name, parts,
            bits=scheme.bits, group=scheme.group, symmetric=scheme.symmetric,
        )  # fmt: skip

    def _nvfp4_parts(self, name: str, parts: Parts) -> Parts:
        scheme = self._scheme(name)
        if not scheme.is_float or scheme.bits != 4 or scheme.group != 16 or not scheme.symmetric:
            raise FormatError(
                self._files.folder,
                f"{name!r:.90} is packed in bytes, but not as NVFP4 (4 bits, groups of 16): no"
                " other such form is read",
            )
        return parts

    def _columns(self, name: str, parts: Parts) -> WeightSource:
        """GPTQ's and AWQ's own formats."""
        method = self._quantization.get("quant_method")
        if method not in ("gptq", "awq"):
            raise FormatError(
                self._config_path,
                f"says quant_method {method!r:.40}, but {name!r:.90} is stored as qweight; only"
                " 'gptq' and 'awq' tell how",
            )
        fields = Fields(self._quantization, self._config_path, "quantization_config")
        group = fields.integer("group_size", -1, 1 << 24)
        common: dict[str, Any] = {
            "bits": fields.integer("bits", 1, 64), "group": None if group == -1 else group
        }  # fmt: skip
        if method == "awq":
            version = fields.text("version").lower() if fields.has("version") else "gemm"
            if version != "gemm":
                raise fields.error("version", f"is {version!r:.40}; only 'gemm' is read")
            symmetric = not (fields.boolean("zero_point") if fields.has("zero_point") else True)
            return AwqIntegers(self._files, name, parts, symmetric=symmetric, **common)
        second = self._quantization.get("checkpoint_format") == "gptq_v2"
        symmetric = fields.boolean("sym") if fields.has("sym") else True
        return GptqIntegers(
            self._files, name, parts, symmetric=symmetric, second_format=second, **common
        )

    def _scheme(self, name: str) -> WeightScheme:
        if self._quantization.get("quant_method") != "compressed-tensors":
            raise FormatError(
                self._config_path,
                f"has no quantization_config of 'compressed-tensors', which {name!r:.90} needs: how"
                " many bits it has, its tensors do not say",
            )
        if self._scheme_file is None:
            self._scheme_file = CompressedTensorsConfig(self._quantization, self._config_path)
        scheme = self._scheme_file.scheme_of(_module(name))
        if scheme is None:
            raise FormatError(
                self._config_path, f"has no config group with {name!r:.90} among its targets"
            )
        self._scaled_inputs += scheme.scales_inputs
        return scheme

    def _contradiction(self, name: str, found: str) -> FormatError:
        return FormatError(
            self._config_path, f"says otherwise, but {name!r:.90} is stored as {found}"
        )

    def _type(self, stored: str) -> str:
        return self._files.entry(stored).dtype


def _renamed(parts: Parts, names: Mapping[str, str]) -> Parts:
    return {names.get(part, part): stored for part, stored in parts.items()}


def _module(weight: str) -> Module:
    """The module of a weight under each prefix that text models are saved with."""
    module = weight.removesuffix(".weight")
    names = [module]
    for prefix in sorted(HF_PREFIXES, key=len, reverse=True):
        if prefix and module.startswith(prefix):
            rest = module.removeprefix(prefix)
            names += [other + rest for other in HF_PREFIXES if other != prefix]
            break
    kind = "Embedding" if module.endswith("embed_tokens") else "Linear"
    return Module(names=tuple(names), kind=kind)


def _check_method(
    quantization: Mapping[str, Any], sources: Mapping[str, WeightSource], folder: Path
) -> None:
    """Raises FormatError for a method that is not read, unless the weights are plain all the same.

    Such a folder is one that was trained for a quantization, and says which in its own words.
    """
    method = quantization.get("quant_method")
    if method in _METHODS or (method is None and _is_plain(sources)):
        return
    if quantization:
        raise FormatError(
            folder,
            f"is quantized with {method!r:.40}, which is not read; use the bfloat16 checkpoint or"
            " a GGUF of it",
        )


def _is_plain(sources: Mapping[str, WeightSource]) -> bool:
    return all(
        isinstance(source, PlainSource) and source.entry("values").dtype in (*_PLAIN, "I64", "I32")
        for source in sources.values()
        if not isinstance(source, TorchaoSource | ExecutorchInt4Source)
    )
