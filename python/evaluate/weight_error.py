"""How far quantized matrices are from the reference's, and how many bits they take."""

from dataclasses import dataclass

from python.checkpoint.checkpoint import Checkpoint
from python.pack import pack
from python.quant.dequantize import dequantize
from python.quant.recipe import is_quantizable, layer_of


@dataclass(frozen=True, kw_only=True)
class WeightError:
    """relative: root of the mean square error over that of the weights, of the layers' matrices.

    layer_bits: bits for each weight of the layers' matrices as an artifact packs them; all_bits:
    the embedding and the head included.
    """

    relative: float
    layer_bits: float
    all_bits: float


def weight_error(reference: Checkpoint, quantized: Checkpoint) -> WeightError:
    """Compares every matrix; one of each checkpoint is in memory at a time."""
    error = square = 0.0
    bits = {True: 0.0, False: 0.0}  # by whether the matrix belongs to a layer
    elements = {True: 0, False: 0}
    for name in reference.names():
        if not is_quantizable(name):
            continue
        in_layer = layer_of(name) is not None
        stored = quantized.read(name)
        packed = pack.pack(name, stored).shape
        count = packed.rows * packed.columns
        bits[in_layer] += count * packed.bits_per_weight
        elements[in_layer] += count
        if in_layer:
            w = dequantize(name, reference.read(name)).double()
            error += float((dequantize(name, stored).double() - w).square().sum())
            square += float(w.square().sum())
    return WeightError(
        relative=(error / square) ** 0.5,
        layer_bits=bits[True] / elements[True],
        all_bits=sum(bits.values()) / sum(elements.values()),
    )
