"""The `quantization_config` of a folder that the compressed-tensors library wrote.

It says, for groups of modules, how many bits a weight has and what shares a scale. Which modules are
quantized at all, the folder's tensors say: `ignore` repeats it, and is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python.artifact.strict_json import Fields
from python.checkpoint.module_patterns import Module, PatternError, Targets
from python.console.errors import FormatError

_MAX_GROUPS = 256
_MAX_TARGETS = 1 << 14
_STRATEGIES = ("tensor", "channel", "group", "block", "tensor_group")


@dataclass(frozen=True, kw_only=True)
class WeightScheme:
    """How one group's weights are stored.

    group: columns that share a scale; None: one scale a row (or for all rows). block: rows and
    columns that share one. scales_inputs: the activations were to be quantized as well.
    """

    bits: int
    is_float: bool
    symmetric: bool
    group: int | None
    block: tuple[int, int] | None
    scales_inputs: bool


class CompressedTensorsConfig:
    """Which scheme a module has."""

    def __init__(self, value: Mapping[str, Any], where: Path) -> None:
        """Raises FormatError for a configuration that is malformed, or beyond what is read."""
        self._where = where
        fields = Fields(value, where, "quantization_config")
        _refuse_transforms(fields)
        groups = fields.mapping("config_groups")
        if len(groups) > _MAX_GROUPS:
            raise fields.error("config_groups", f"has {len(groups)} groups, at most {_MAX_GROUPS}")
        self.schemes: list[WeightScheme] = []
        entries: list[tuple[str, int]] = []
        for name, group in groups.items():
            self._add_group(f"{name!r:.60} of config_groups", group, entries)
        try:
            self._targets = Targets(entries)
        except PatternError as error:
            raise FormatError(where, f"'config_groups': {error}") from None

    def scheme_of(self, module: Module) -> WeightScheme | None:
        """None where no group has the module among its targets."""
        try:
            group = self._targets.group_of(module)
        except PatternError as error:
            raise FormatError(self._where, f"'config_groups': {error}") from None
        return None if group is None else self.schemes[group]

    def _add_group(self, name: str, value: object, entries: list[tuple[str, int]]) -> None:
        group = Fields(value, self._where, name)
        targets = group.items("targets")
        if len(entries) + len(targets) > _MAX_TARGETS:
            raise group.error("targets", f"are more than {_MAX_TARGETS}")
        if not all(isinstance(target, str) for target in targets):
            raise group.error("targets", "must hold strings")
        if not group.has("weights") or group.is_null("weights"):
            return
        scales_inputs = group.has("input_activations") and not group.is_null("input_activations")
        entries.extend((target, len(self.schemes)) for target in targets)
        value = group.mapping("weights")
        weights = Fields(value, self._where, f"'weights' of {name}")
        _check_order(value.get("actorder"), weights)
        self.schemes.append(_scheme(weights, scales_inputs))


def _refuse_transforms(fields: Fields) -> None:
    """Rotated or thinned-out weights have values that the parts alone do not give."""
    for key, empty in (("transform_config", "transforms"), ("sparsity_config", "sparsity")):
        if not fields.has(key) or fields.is_null(key):
            continue
        value = fields.mapping(key)
        if key == "sparsity_config" and value.get("format") in ("dense", None):
            continue
        if value:
            raise fields.error(key, f"asks for {empty}, which are not read")


def _scheme(fields: Fields, scales_inputs: bool) -> WeightScheme:
    bits = fields.integer("num_bits", 1, 64)
    kind = fields.choice("type", ("int", "float"))
    symmetric = fields.boolean("symmetric") if fields.has("symmetric") else True
    group = _group(fields)
    strategy = None
    if fields.has("strategy") and not fields.is_null("strategy"):
        strategy = fields.choice("strategy", _STRATEGIES)
    if strategy in ("group", "tensor_group") and group is None:
        raise fields.error("strategy", f"is {strategy!r}, but there is no group_size")
    return WeightScheme(
        bits=bits,
        is_float=kind == "float",
        symmetric=symmetric,
        group=group if strategy in (None, "group", "tensor_group") else None,
        block=_block(fields) if strategy == "block" else None,
        scales_inputs=scales_inputs,
    )


def _group(fields: Fields) -> int | None:
    if not fields.has("group_size") or fields.is_null("group_size"):
        return None
    group = fields.integer("group_size", -1, 1 << 24)
    if group == 0:
        raise fields.error("group_size", "is 0")
    return None if group == -1 else group


def _block(fields: Fields) -> tuple[int, int]:
    sizes = fields.items("block_structure")
    if len(sizes) != 2 or not all(type(size) is int and 0 < size < 1 << 24 for size in sizes):
        raise fields.error("block_structure", "must be two sizes of at least 1")
    return sizes[0], sizes[1]


def _check_order(order: object, fields: Fields) -> None:
    """By weight, columns were only visited in another order; by group, they lie in another one."""
    if order not in (None, False, "weight", "static"):
        raise fields.error(
            "actorder", f"is {order!r:.40}: columns reordered by activations are not read"
        )
