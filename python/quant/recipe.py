"""Recipes: which weight is quantized how, as data.

A recipe is a list of rules. The first rule decides whose expression matches the whole canonical
name and whose layers hold the weight's layer. Every weight must match a rule.
Norms and layer scalars are never quantized, whatever a rule says.
The named recipes are built for a model's number of layers; a user's own comes from a JSON file:

    {"rules": [
      {"pattern": "embed_tokens\\.weight",
       "config": {"bits": 8, "group": "row", "symmetric": true, "method": "min_max"}},
      {"pattern": ".*(v|down)_proj\\.weight", "layers": ["0-14", 59],
       "config": {"bits": 8, "group": 32, "symmetric": true, "method": "min_max"}},
      {"pattern": ".*", "config": null}
    ]}

`"config": null` keeps the weight as it is stored; `"group": "row"` is one scale a row.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python.artifact import strict_json
from python.artifact.strict_json import Fields
from python.console.errors import FormatError, UsageError, UserError
from python.model.gemma_config import GemmaConfig
from python.model.weight_names import is_norm
from python.pack.layouts import MIN_GROUP, Layout, WeightShape, integer_layout

BITS = (4, 8)
METHODS = ("min_max", "hqq_scale", "hqq", "lattice", "least_squares", "gptq")
CALIBRATED_METHODS = ("least_squares", "gptq")
ROW = "row"
_MAX_GROUP = 1 << 20
_MAX_GPTQ_GROUP = 256
_MAX_RECIPE_BYTES = 1 << 20
_MAX_RULES = 10_000
_MAX_LAYER = 4095


def layer_of(name: str) -> int | None:
    """The number of the layer that a canonical name belongs to."""
    match = re.match(r"layers\.(\d+)\.", name)
    return None if match is None else int(match[1])


def is_quantizable(name: str) -> bool:
    """Whether a canonical name is that of a matrix: neither a norm nor a layer scalar."""
    return not is_norm(name) and not name.endswith("layer_scalar")


@dataclass(frozen=True, kw_only=True)
class QuantConfig:
    """How a matrix is quantized. `group`: columns that share a scale, or None for one scale a row.

    `method`: min_max; hqq_scale (symmetric, the scale optimised);
    hqq (scale and zero optimised); lattice (symmetric 4 bits, the scales of training found again);
    least_squares (clip ratios by the size of the inputs); gptq. The last two need a calibration
    text.
    """

    bits: int
    group: int | None
    symmetric: bool
    method: str

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise UserError(
                f"{self.bits} bits are not supported (use {' or '.join(map(str, BITS))})"
            )
        if self.group is not None and (
            not MIN_GROUP <= self.group <= _MAX_GROUP or self.group % MIN_GROUP
        ):
            raise UserError(
                f"group {self.group} is no multiple of {MIN_GROUP} (use 32, 64, 128 or {ROW!r})"
            )
        if self.method not in METHODS:
            raise UserError(f"method {self.method!r} is unknown (use {', '.join(METHODS)})")
        if self.method == "hqq_scale" and not self.symmetric:
            raise UserError("method 'hqq_scale' is symmetric (use 'hqq' for asymmetric)")
        if self.method == "hqq" and self.symmetric:
            raise UserError("method 'hqq' is asymmetric (use 'hqq_scale' for symmetric)")
        if self.method == "lattice" and (self.bits, self.symmetric) != (4, True):
            raise UserError(
                f"method 'lattice' finds symmetric scales of 4 bits, not {self.bits} bits"
                f'{"" if self.symmetric else " with an offset"} (use 4 bits, "symmetric": true)'
            )
        if self.method == "gptq" and (self.group is None or self.group > _MAX_GPTQ_GROUP):
            raise UserError(
                f"method 'gptq' takes groups of at most {_MAX_GPTQ_GROUP} columns, not "
                f"{self.group or ROW} (use 32, 64 or 128)"
            )
        integer_layout(self.bits, symmetric=self.symmetric)  # raises UserError without one

    @property
    def layout(self) -> Layout:
        """The layout that such a matrix takes in an artifact."""
        return integer_layout(self.bits, symmetric=self.symmetric)

    @property
    def group_size(self) -> int | None:
        """`group`, as ExecuTorch's example calls it."""
        return self.group

    @property
    def calibrated(self) -> bool:
        """Whether the method needs the inputs that a calibration text gives the matrix."""
        return self.method in CALIBRATED_METHODS

    def group_of(self, name: str, columns: int) -> int:
        """The group in columns. Raises UserError where it does not divide the weight."""
        group = columns if self.group is None else self.group
        if columns % group or group % MIN_GROUP:
            fitting = [str(size) for size in (32, 64, 128) if columns % size == 0]
            remedy = (
                f"use {', '.join(fitting)} or {ROW!r}" if fitting else "keep this weight as it is"
            )
            raise UserError(f"{name}: group {group} does not divide {columns} ({remedy})")
        return group

    def shape_of(self, name: str, rows: int, columns: int) -> WeightShape:
        """What a matrix becomes. Raises UserError where the group does not divide it."""
        group = self.group_of(name, columns)
        return WeightShape(layout=self.layout, rows=rows, columns=columns, group=group)


@dataclass(frozen=True, kw_only=True)
class QuantRule:
    """`pattern` must match the whole name; `layers` None: everywhere.

    `config` None: kept as stored.
    """

    pattern: str
    config: QuantConfig | None
    layers: frozenset[int] | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UserError(
                f"pattern {self.pattern!r:.80} is no regular expression: {error}"
            ) from None

    def matches(self, name: str) -> bool:
        if self.layers is not None and layer_of(name) not in self.layers:
            return False
        return re.fullmatch(self.pattern, name) is not None


@dataclass(frozen=True, kw_only=True)
class QuantRecipe:
    """Rules in the order in which they are tried."""

    name: str
    rules: tuple[QuantRule, ...]

    def rule_for(self, name: str) -> tuple[int, QuantRule]:
        """The number and the rule that decides on a weight. Raises UserError if none does."""
        for number, rule in enumerate(self.rules):
            if rule.matches(name):
                return number, rule
        raise UserError(
            f'recipe {self.name}: no rule matches {name} (add one, with "config": null to keep it)'
        )

    def config_for(self, name: str) -> QuantConfig | None:
        """How to quantize a weight; None: not at all. Norms and layer scalars never are."""
        if not is_quantizable(name):
            return None
        return self.rule_for(name)[1].config

    def get_config(self, fqn: str) -> QuantConfig | None:
        """`config_for` as in ExecuTorch's example: also None where no rule matches."""
        if not any(rule.matches(fqn) for rule in self.rules):
            return None
        return self.config_for(fqn)

    def keeps_everything(self) -> bool:
        """Whether no rule quantizes anything."""
        return all(rule.config is None for rule in self.rules)

    def needs_calibration(self) -> bool:
        """Whether some rule's method needs a calibration text."""
        return any(rule.config is not None and rule.config.calibrated for rule in self.rules)

    def to_json(self) -> dict[str, Any]:
        """The recipe as `from_json` reads it; equal recipes give equal values."""
        return {"rules": [_rule_to_json(rule) for rule in self.rules]}


_INT4 = QuantConfig(bits=4, group=32, symmetric=True, method="min_max")
_INT4_HQQ = QuantConfig(bits=4, group=32, symmetric=False, method="hqq")
_INT4_GPTQ = QuantConfig(bits=4, group=32, symmetric=True, method="gptq")
_INT8 = QuantConfig(bits=8, group=32, symmetric=True, method="min_max")
_INT4_LATTICE = QuantConfig(bits=4, group=32, symmetric=True, method="lattice")
# The head's inputs have columns many times larger than the rest, and a row of the embedding may
# have one large value that sets the step of them all. With a scale for every 32 columns it cannot;
# docs/benchmarks/quality_270m.md has what that is worth.
_EMBEDDING = QuantRule(pattern=r"(embed_tokens|lm_head)\.weight", config=_INT8)
_LINEAR = r"layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight"


Rules = tuple[QuantRule, ...]
# The number of layers and those in which k_proj makes the values too -> rules.
MakeRules = Callable[[int, frozenset[int]], Rules]


def _none(num_layers: int, value_by_key: frozenset[int]) -> Rules:
    return (QuantRule(pattern=".*", config=None),)


def _default(num_layers: int, value_by_key: frozenset[int]) -> Rules:
    return (_EMBEDDING, QuantRule(pattern=_LINEAR, config=_INT4))


def _qat(num_layers: int, value_by_key: frozenset[int]) -> Rules:
    return (_EMBEDDING, QuantRule(pattern=_LINEAR, config=_INT4_LATTICE))


def _calibrated(num_layers: int, value_by_key: frozenset[int]) -> Rules:
    return (_EMBEDDING, QuantRule(pattern=_LINEAR, config=_INT4_GPTQ))


def _sensitive(num_layers: int, value_by_key: frozenset[int]) -> Rules:
    """8 bits for what makes values and for down_proj, in the first and last quarter of layers."""
    quarter = num_layers // 4
    edges = frozenset((*range(quarter), *range(num_layers - quarter, num_layers)))
    sensitive = QuantRule(
        pattern=r"layers\.\d+\.(self_attn\.v_proj|mlp\.down_proj)\.weight",
        config=_INT8,
        layers=edges,
    )
    rules = [_EMBEDDING, sensitive]
    if edges & value_by_key:
        pattern = r"layers\.\d+\.self_attn\.k_proj\.weight"
        rules.append(QuantRule(pattern=pattern, config=_INT8, layers=edges & value_by_key))
    return (*rules, QuantRule(pattern=_LINEAR, config=_INT4_HQQ))


NAMED: Mapping[str, MakeRules] = {
    "default": _default, "sensitive": _sensitive, "calibrated": _calibrated, "qat": _qat,
    "none": _none,
}  # fmt: skip


def recipe(
    text: str,
    num_layers: int,
    base: Path = Path(),
    value_by_key: frozenset[int] = frozenset(),
) -> QuantRecipe:
    """The named recipe, or the one in the file `text` (relative to `base`).

    value_by_key: the layers without v_proj, whose values are k_proj's output. Raises UsageError for
    an unknown name without a file.
    """
    if text in NAMED:
        return QuantRecipe(name=text, rules=NAMED[text](num_layers, value_by_key))
    path = base / text
    if not path.is_file():
        raise UsageError(f"recipe {text!r} is unknown (use {', '.join(NAMED)} or a JSON file)")
    return from_json(strict_json.read(path, _MAX_RECIPE_BYTES), path)


def recipe_for(text: str, config: GemmaConfig, base: Path = Path()) -> QuantRecipe:
    """`recipe` for a model."""
    value_by_key = frozenset(
        layer for layer in range(config.num_layers) if config.attention(layer).k_eq_v
    )
    return recipe(text, config.num_layers, base, value_by_key)


def from_json(value: object, where: Path) -> QuantRecipe:
    """A recipe file's content. Raises FormatError, naming the rule."""
    fields = Fields(value, where, "the recipe")
    rules = fields.items("rules")
    fields.finish()
    if not 1 <= len(rules) <= _MAX_RULES:
        raise fields.error("rules", f"has {len(rules)} entries, 1 to {_MAX_RULES} are allowed")
    return QuantRecipe(
        name=str(where),
        rules=tuple(_rule_from_json(rule, number, where) for number, rule in enumerate(rules)),
    )


def digest_text(recipe_: QuantRecipe) -> str:
    """The recipe in its only spelling, to compare and to store."""
    return json.dumps(recipe_.to_json(), sort_keys=True, separators=(",", ":"))


def _rule_from_json(value: object, number: int, where: Path) -> QuantRule:
    what = f"rule {number}"
    fields = Fields(value, where, what)
    pattern = fields.text("pattern")
    layers = _layers(fields) if fields.has("layers") and not fields.is_null("layers") else None
    try:
        config = (
            None
            if fields.is_null("config")
            else _config_from_json(fields.mapping("config"), where, what)
        )
        rule = QuantRule(pattern=pattern, config=config, layers=layers)
    except FormatError:
        raise
    except UserError as error:
        raise FormatError(where, f"{what}: {error}") from None
    fields.finish()
    return rule


def _config_from_json(value: Mapping[str, Any], where: Path, what: str) -> QuantConfig:
    fields = Fields(value, where, f"'config' of {what}")
    group: int | None = None
    if value.get("group") == ROW:
        fields.text("group")
    else:
        group = fields.integer("group", 1, _MAX_GROUP)
    config = QuantConfig(
        bits=fields.integer("bits"),
        group=group,
        symmetric=fields.boolean("symmetric"),
        method=fields.text("method"),
    )
    fields.finish()
    return config


def _layers(fields: Fields) -> frozenset[int]:
    """Numbers and ranges such as "0-14", both ends included."""
    layers: set[int] = set()
    for item in fields.items("layers"):
        match = re.fullmatch(r"(\d{1,4})-(\d{1,4})", item) if isinstance(item, str) else None
        if match is not None:
            layers.update(range(int(match[1]), int(match[2]) + 1))
        elif type(item) is int and 0 <= item <= _MAX_LAYER:
            layers.add(item)
        else:
            raise fields.error(
                "layers", f'holds {item!r:.40}, which is neither a layer nor a range such as "0-14"'
            )
    return frozenset(layers)


def _rule_to_json(rule: QuantRule) -> dict[str, Any]:
    config = rule.config
    return {
        "pattern": rule.pattern,
        "layers": None if rule.layers is None else sorted(rule.layers),
        "config": None if config is None else {
            "bits": config.bits, "group": ROW if config.group is None else config.group,
            "symmetric": config.symmetric, "method": config.method,
        },
    }  # fmt: skip
