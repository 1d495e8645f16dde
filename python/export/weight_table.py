"""Which layout each weight of a plan takes, known before any weight is read, and how the weight is
made.

What must stay true: the plan's weights are the checkpoint's, no more and no fewer, with the shapes
that the model needs; what `make` gives has the layout and the size that `forms` announced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from python.checkpoint import quantized
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.tensor import DenseTensor, TensorInfo
from python.console.errors import UserError
from python.model.gemma_config import GemmaConfig
from python.model.rope import rope_frequencies
from python.pack import layouts, pack
from python.pack.layouts import PackedWeight
from python.plan import plan as p
from python.quant import quantize
from python.quant.recipe import QuantConfig, QuantRecipe

_BLOCK_GROUP = 32  # columns of a GGML block other than the K types
_TORCHAO_BITS = {"Int4Tensor": 4, "IntxUnpackedToInt8Tensor": 8}
_NAMES_SHOWN = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """How a weight will lie in the artifact."""

    layout: str
    rows: int
    columns: int
    group: int

    @property
    def bytes(self) -> int:
        return layouts.blob_bytes(self.layout, self.rows, self.columns, self.group)

    @property
    def bits_per_weight(self) -> float:
        return layouts.bits_per_weight(self.layout, self.rows, self.columns, self.group)


class WeightTable:
    """The weights of one artifact: those of a checkpoint as a recipe wants them, and the rope
    tables.
    """

    def __init__(self, checkpoint: Checkpoint, config: GemmaConfig, recipe: QuantRecipe) -> None:
        self._checkpoint = checkpoint
        self._recipe = recipe
        kinds = {kind: getattr(config, kind) for kind in sorted(set(config.layer_kinds))}
        self._computed = {
            f"rope.{kind}.frequencies": rope_frequencies(attention)[None]
            for kind, attention in kinds.items()
        }

    def forms(self, weights: Iterable[p.Weight]) -> dict[str, Form]:
        """The form of each of a plan's weights, by name.

        Raises:
          UserError: a weight is missing, unknown, of another shape, or has no layout; the sentence
          names it.
        """
        weights = list(weights)
        self._check_names({weight.name for weight in weights})
        forms = {}
        for weight in weights:
            form = self._form(weight)
            if (form.rows, form.columns) != (weight.rows, weight.columns):
                raise UserError(
                    f"{weight.name}: the checkpoint has {form.rows} x {form.columns}, the model"
                    f" needs {weight.rows} x {weight.columns}"
                )
            forms[weight.name] = form
        return forms

    def computed(self, weights: Iterable[p.Weight]) -> tuple[p.Weight, ...]:
        """Those weights that no checkpoint holds."""
        return tuple(weight for weight in weights if weight.name in self._computed)

    def encoding(self, name: str) -> str:
        """What the checkpoint stores; `computed` for the rope tables."""
        return "computed" if name in self._computed else self._checkpoint.describe(name).encoding

    def stored_bytes(self, name: str) -> int:
        """What the checkpoint stores of it; 0 for the rope tables."""
        return 0 if name in self._computed else self._checkpoint.describe(name).bytes

    def integer_bytes(self, name: str) -> int:
        """What its integers take between quantizing and packing; 0 where it is not quantized."""
        if name in self._computed or self._recipe.config_for(name) is None:
            return 0
        info = self._checkpoint.describe(name)
        return info.elements if len(info.shape) == 2 else 0

    def will_make(self, name: str) -> None:
        """Says that `name` is the next weight to be made, so that the disk can begin with it."""
        if name not in self._computed:
            self._checkpoint.will_read(name)

    def make(self, name: str, form: Form) -> PackedWeight:
        """Reads, quantizes and packs one weight."""
        if name in self._computed:
            packed = pack.pack(name, DenseTensor(values=self._computed[name]))
        else:
            stored = self._checkpoint.read(name)
            prepared = quantize.prepare(name, stored, self._recipe)
            del stored
            packed = pack.pack(name, prepared)
        made = Form(
            layout=packed.layout, rows=packed.rows, columns=packed.columns, group=packed.group
        )
        if made != form:
            raise UserError(f"{name}: it was packed as {made}, but announced as {form}")
        return packed

    def _check_names(self, needed: set[str]) -> None:
        offered = set(self._checkpoint.names()) | set(self._computed)
        if needed != offered:
            shown = ", ".join(sorted(needed ^ offered)[:_NAMES_SHOWN])
            raise UserError(
                f"{self._checkpoint.path}: the plan and the checkpoint disagree about {shown}"
            )

    def _form(self, weight: p.Weight) -> Form:
        name = weight.name
        if name in self._computed:
            return _plain_form("F32", self._computed[name].shape)
        info = self._checkpoint.describe(name)
        if len(info.shape) < 2:
            return _plain_form("F32", (1, *info.shape) if info.shape else (1, 1))
        quantization = self._recipe.config_for(name)
        try:
            if quantization is not None:
                return _quantized_form(name, info, quantization)
            if info.encoding in _TORCHAO_BITS:
                return self._torchao_form(info)
            return _kept_form(info)
        except UserError as error:
            raise UserError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from None

    def _torchao_form(self, info: TensorInfo) -> Form:
        """Whether such a tensor is symmetric, its zero points alone tell; they are all it reads."""
        zero_point = self._checkpoint.read_part(info.name, "zero_point")
        if zero_point is None or zero_point.numel() == 0:
            raise UserError(f"zero_point of the {info.encoding} is missing")
        rows, columns = info.shape
        group = rows * columns // zero_point.numel()
        bits = _TORCHAO_BITS[info.encoding]
        return _integer_form(bits, not quantized.any_nonzero(zero_point), rows, columns, group)


def with_forms(plan: p.Plan, forms: Mapping[str, Form]) -> p.Plan:
    """The plan with its weights' layouts in place of F32."""
    weights = [
        dataclasses.replace(
            weight,
            layout=p.Layout[forms[weight.name].layout],
            group=forms[weight.name].group,
            bytes=forms[weight.name].bytes,
        )
        for weight in plan.weights
    ]
    return dataclasses.replace(plan, weights=tuple(weights))


def _plain_form(layout: str, shape: Iterable[int]) -> Form:
    rows, columns = shape
    return Form(layout=layout, rows=rows, columns=columns, group=0)


def _kept_form(info: TensorInfo) -> Form:
    layout = pack.packed_layout(info.encoding)
    if layout not in layouts.LAYOUTS:
        raise UserError(f"it is stored as {info.encoding}, for which there is no layout")
    rows, columns = info.shape
    has_groups = layout.startswith("INT")
    form = Form(layout=layout, rows=rows, columns=columns, group=_BLOCK_GROUP if has_groups else 0)
    layouts.planes(form.layout, form.rows, form.columns, form.group)
    return form


def _quantized_form(name: str, info: TensorInfo, quantization: QuantConfig) -> Form:
    rows, columns = info.shape
    group = quantization.group_of(name, columns)
    return _integer_form(quantization.bits, quantization.symmetric, rows, columns, group)


def _integer_form(bits: int, symmetric: bool, rows: int, columns: int, group: int) -> Form:
    if bits == 8 and not symmetric:
        raise UserError("asymmetric with 8 bits has no layout (use symmetric, or 4 bits)")
    layout = "INT8" if bits == 8 else "INT4" if symmetric else "INT4_MIN"
    return Form(layout=layout, rows=rows, columns=columns, group=group)
