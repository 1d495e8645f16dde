"""Which layout each weight of a plan takes, known before any weight is read, and how it is made.

What must stay true: the plan's weights are the checkpoint's, no more and no fewer, with the shapes
that the model needs; what `make` gives has the shape that `shapes` announced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from python.checkpoint import quantized
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.tensor import DenseTensor, Float8Tensor, IntegerTensor, TensorInfo
from python.checkpoint.torchao_source import TORCHAO_BITS
from python.console.errors import UserError
from python.model.gemma_config import GemmaConfig
from python.model.rope import rope_frequencies
from python.pack import pack, pack_scaled
from python.pack.layouts import Layout, PackedWeight, WeightShape, integer_layout
from python.plan import plan as p
from python.quant import quantize
from python.quant.lattice_share import LatticeShare
from python.quant.recipe import QuantRecipe

_NAMES_SHOWN = 3


class WeightTable:
    """The weights of one artifact: a checkpoint's as a recipe wants them, and the rope tables."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: GemmaConfig,
        recipe: QuantRecipe,
        *,
        allow_lossy: bool = False,
    ) -> None:
        """allow_lossy: a kept weight may be rounded where no layout holds what is stored."""
        self._checkpoint = checkpoint
        self._recipe = recipe
        self.lattice = LatticeShare()  # of the weights that `make` gave
        self._allow_lossy = allow_lossy
        self.losses: dict[str, float] = {}  # of every weight made that packing rounded
        kinds = {kind: getattr(config, kind) for kind in sorted(set(config.layer_kinds))}
        self._computed = {
            f"rope.{kind}.frequencies": rope_frequencies(attention)[None]
            for kind, attention in kinds.items()
        }

    def shapes(self, weights: Iterable[p.Weight]) -> dict[str, WeightShape]:
        """How each of a plan's weights will lie in the artifact, by name.

        Raises:
          UserError: a weight is missing, unknown, of another shape,
          or has no layout; the sentence names it.
        """
        weights = list(weights)
        self._check_names({weight.name for weight in weights})
        shapes = {}
        for weight in weights:
            shape = self._shape(weight.name)
            if (shape.rows, shape.columns) != (weight.rows, weight.columns):
                raise UserError(
                    f"{weight.name}: the checkpoint has {shape.rows} x {shape.columns}, the model"
                    f" needs {weight.rows} x {weight.columns}"
                )
            shapes[weight.name] = shape
        self._check_losses(shapes)
        return shapes

    def is_kept(self, name: str) -> bool:
        """Whether no rule of the recipe quantizes the weight."""
        if name in self._computed or self._recipe.config_for(name) is None:
            return True
        info = self._checkpoint.describe(name)
        return self._checkpoint.form(name) is not None or info.encoding == "NVFP4"

    def is_exact(self, name: str) -> bool:
        """Whether a kept weight has the values that are stored, to the last bit."""
        if name in self._computed:
            return True
        info = self._checkpoint.describe(name)
        if len(info.shape) < 2 or info.encoding in TORCHAO_BITS:
            return True
        return self._kept_shape(info)[1]

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
        """What its integers take between quantizing or unpacking and packing; 0 where none are."""
        if name in self._computed:
            return 0
        if self._recipe.config_for(name) is None and self._checkpoint.form(name) is None:
            return 0
        info = self._checkpoint.describe(name)
        return info.elements if len(info.shape) == 2 else 0

    def will_make(self, name: str) -> None:
        """Says that `name` is the next weight to be made, so that the disk can begin with it."""
        if name not in self._computed:
            self._checkpoint.will_read(name)

    def make(self, name: str, shape: WeightShape) -> PackedWeight:
        """Reads, quantizes and packs one weight."""
        if name in self._computed:
            packed = pack.pack(name, DenseTensor(values=self._computed[name]))
        else:
            stored = self._checkpoint.read(name)
            prepared = quantize.prepare(name, stored, self._recipe)
            del stored
            self.lattice.add(prepared)
            packed = (
                pack_scaled.pack_scaled(name, prepared, shape)
                if isinstance(prepared, IntegerTensor | Float8Tensor)
                else pack.pack(name, prepared)
            )
        if packed.shape != shape:
            raise UserError(f"{name}: it was packed as {packed.shape}, but announced as {shape}")
        if packed.loss and self.is_kept(name):
            self._note_loss(name, packed)
        return packed

    def _check_losses(self, shapes: Mapping[str, WeightShape]) -> None:
        """Raises UserError where a weight would be rounded that nobody asked to round."""
        rounded = [name for name in shapes if self.is_kept(name) and not self.is_exact(name)]
        if rounded and not self._allow_lossy:
            first = rounded[0]
            raise UserError(
                f"{first}: no layout holds {self.encoding(first)} exactly, which {len(rounded)} of"
                f" {len(shapes)} weights are stored as (--allow_lossy rounds them to"
                f" {shapes[first].layout.name} and says what that cost)"
            )

    def _note_loss(self, name: str, packed: PackedWeight) -> None:
        if not self._allow_lossy:
            raise UserError(
                f"{name}: {packed.shape.layout.name} holds it only with a relative error of"
                f" {packed.loss:.1e} (--allow_lossy accepts that)"
            )
        self.losses[name] = packed.loss

    def _check_names(self, needed: set[str]) -> None:
        offered = set(self._checkpoint.names()) | set(self._computed)
        if needed != offered:
            shown = ", ".join(sorted(needed ^ offered)[:_NAMES_SHOWN])
            raise UserError(
                f"{self._checkpoint.path}: the plan and the checkpoint disagree about {shown}"
            )

    def _shape(self, name: str) -> WeightShape:
        if name in self._computed:
            return _vector_shape(self._computed[name].numel())
        info = self._checkpoint.describe(name)
        if len(info.shape) < 2:
            return _vector_shape(info.elements)
        quantization = self._recipe.config_for(name)
        try:
            stored = self._stored_shape(info)
            if quantization is None or self.is_kept(name):
                return stored or self._kept_shape(info)[0]
            wanted = quantization.shape_of(name, *info.shape)
            if stored is not None:
                quantize.check_same_shape(stored, wanted)
            return wanted
        except UserError as error:
            raise UserError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from None

    def _kept_shape(self, info: TensorInfo) -> tuple[WeightShape, bool]:
        """The shape of a matrix that no recipe quantizes, and whether it holds every value."""
        form = self._checkpoint.form(info.name)
        return pack_scaled.kept_shape(info, form, allow_lossy=self._allow_lossy)

    def _stored_shape(self, info: TensorInfo) -> WeightShape | None:
        """What a quantized store holds already; None where the weight is not from one.

        Whether such a tensor is symmetric, its zero points alone tell; they are all it reads.
        """
        if info.encoding not in TORCHAO_BITS:
            return None
        zero_point = self._checkpoint.read_part(info.name, "zero_point")
        if zero_point is None or zero_point.numel() == 0:
            raise UserError(f"zero_point of the {info.encoding} is missing")
        rows, columns = info.shape
        layout = integer_layout(
            TORCHAO_BITS[info.encoding], symmetric=not quantized.any_nonzero(zero_point)
        )
        group = rows * columns // zero_point.numel()
        return WeightShape(layout=layout, rows=rows, columns=columns, group=group)


def with_shapes(plan: p.Plan, shapes: Mapping[str, WeightShape]) -> p.Plan:
    """The plan with its weights' layouts in place of F32."""
    weights = [
        dataclasses.replace(p.Weight.of(weight.name, shapes[weight.name]), data_key=weight.data_key)
        for weight in plan.weights
    ]
    return dataclasses.replace(plan, weights=tuple(weights))


def _vector_shape(columns: int) -> WeightShape:
    """Vectors, scalars and rope tables."""
    return WeightShape(layout=Layout.F32, rows=1, columns=columns)
