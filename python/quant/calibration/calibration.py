"""Calibration: quantizing matrices by the inputs that a text gives them, one matrix at a time.

Two streams of hidden states pass through the model together: the reference, whose weights are the
checkpoint's, and the quantized one, whose weights are what has been written. A matrix is quantized
for the inputs of the *quantized* stream, so that it answers for what the model before it has become, and
towards the outputs of the *reference*: the weights that best map the one to the other are quantized
in place of the checkpoint's own.

Invariants: weights arrive in the order of the computation, each once; of matrices one is in memory,
beside it both streams and, for the inputs at hand, their statistics.
"""

from collections.abc import Callable

import torch

from python.checkpoint.quantized import QuantizedTensor
from python.console.errors import UserError
from python.model.gemma_config import GemmaConfig
from python.quant import quantize
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.calibration.input_statistics import InputStatistics, second_moments, statistics_of
from python.quant.calibration.layer_inputs import SHARED_INPUT, LayerInputs
from python.quant.methods.clip_search import quantize_least_squares
from python.quant.methods.gptq import quantize_gptq
from python.quant.recipe import QuantConfig, layer_of

_EMBEDDING = "embed_tokens.weight"
# So many tokens for each column of a matrix make half of the drift's correction trustworthy.
_TOKENS_A_COLUMN = 20
# Reads a vector by its canonical name: the factor of a norm, or a layer's scalar.
ReadVector = Callable[[str], torch.Tensor]


class Calibration:
    """Takes weights in the order of the computation and quantizes those of calibrated methods."""

    def __init__(
        self, config: GemmaConfig, text: CalibrationText, read_vector: ReadVector,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        self._config = config
        self._tokens = text.tokens
        self._read_vector = read_vector
        self._device = device
        self._layer = -1
        self._hidden: tuple[torch.Tensor, torch.Tensor] | None = None
        self._streams: tuple[LayerInputs, LayerInputs] | None = None
        self._moments: tuple[str, torch.Tensor] | None = None
        self._statistics: tuple[tuple[str, int], InputStatistics] | None = None

    @torch.no_grad()
    def quantize(
        self, name: str, weight: torch.Tensor, config: QuantConfig | None
    ) -> QuantizedTensor | None:
        """The weight as `config` wants it, None where that keeps it; both streams move on.

        weight: as the checkpoint stores it. Raises UserError, naming it.
        """
        if config is None or not config.calibrated:
            result = None
            if config is not None:
                result = quantize.quantize_weight(name, weight, config, self._device)
            self.follow(name, weight, result)
            return result
        group = quantize.check_matrix(name, weight, config)
        full = weight.to(device=self._device, dtype=torch.float32)
        reference, stream = self._streams_of(name)
        short = _within_layer(name)
        wanted_output = reference.apply(short, full)
        if config.method == "least_squares":
            x = self._moments_of(name, stream)
            importance = x.diagonal() / max(float(x.diagonal().mean()), 1e-30)
            result = quantize_least_squares(
                full, importance, bits=config.bits, group=group, symmetric=config.symmetric,
                device=self._device,
            )  # fmt: skip
        else:
            statistics = self._statistics_of(name, stream, group)
            wanted = _towards(full, wanted_output, stream.input_of(short), statistics)
            result = quantize_gptq(wanted, statistics, bits=config.bits, symmetric=config.symmetric)
        quantize.check_scales(name, weight, result)
        del full, wanted_output
        self._apply(stream, short, result.dequantize())
        return result

    @torch.no_grad()
    def follow(self, name: str, weight: torch.Tensor, quantized: QuantizedTensor | None) -> None:
        """Moves both streams past a weight that is quantized already, or kept as it is."""
        if name == _EMBEDDING:
            self._embed(weight, quantized)
        if layer_of(name) is None or _within_layer(name) not in SHARED_INPUT:
            return
        reference, stream = self._streams_of(name)
        short = _within_layer(name)
        full = weight.float()
        self._apply(reference, short, full)
        self._apply(stream, short, full if quantized is None else quantized.dequantize())

    def _apply(self, stream: LayerInputs, short: str, weight: torch.Tensor) -> None:
        stream.apply(short, weight.to(device=self._device, dtype=torch.float32))

    def _embed(self, weight: torch.Tensor, quantized: QuantizedTensor | None) -> None:
        """Starts both streams: the embeddings of the text, scaled as the model does."""
        scale = self._config.embed_scale(weight.dtype)
        tokens = self._tokens
        if int(tokens.max()) >= weight.shape[0]:
            raise UserError(
                f"the calibration text has token {int(tokens.max())}, the embedding "
                f"{weight.shape[0]} rows; use the checkpoint's own tokenizer"
            )
        reference = (weight[tokens].float() * scale).to(self._device)
        stream = reference.clone()
        if quantized is not None:
            ids = tokens.flatten().tolist()
            place = {row: i for i, row in enumerate(sorted(set(ids)))}
            rows = torch.cat([quantized.dequantize(row, row + 1) for row in place])
            index = torch.tensor([place[row] for row in ids]).reshape(tokens.shape)
            stream = (rows[index] * scale).to(self._device)
        self._hidden = (reference, stream)

    def _streams_of(self, name: str) -> tuple[LayerInputs, LayerInputs]:
        """The layer's two streams; those of the layer before are finished."""
        layer = layer_of(name)
        assert layer is not None
        if layer != self._layer:
            if self._streams is not None:
                reference, stream = self._streams
                self._streams = None
                self._hidden = (reference.finish(), stream.finish())
            if self._hidden is None or layer != self._layer + 1:
                raise ValueError(f"{name} arrived after layer {self._layer}")
            self._layer = layer
            read = self._vectors_of(layer)
            self._streams = (
                LayerInputs(self._config, layer, self._hidden[0], read),
                LayerInputs(self._config, layer, self._hidden[1], read),
            )
            self._hidden = None
        assert self._streams is not None
        return self._streams

    def _vectors_of(self, layer: int) -> Callable[[str], torch.Tensor]:
        def read(name: str) -> torch.Tensor:
            vector = self._read_vector(f"layers.{layer}.{name}")
            return vector.to(device=self._device, dtype=torch.float32)

        return read

    def _moments_of(self, name: str, stream: LayerInputs) -> torch.Tensor:
        key = f"{self._layer} {SHARED_INPUT[_within_layer(name)]}"
        if self._moments is None or self._moments[0] != key:
            self._moments = self._statistics = None
            x = stream.input_of(_within_layer(name))
            self._moments = (key, second_moments(x, x.shape[-1]))
        return self._moments[1]

    def _statistics_of(self, name: str, stream: LayerInputs, group: int) -> InputStatistics:
        moments = self._moments_of(name, stream)
        assert self._moments is not None
        key = (self._moments[0], group)
        if self._statistics is None or self._statistics[0] != key:
            self._statistics = None
            self._statistics = (key, statistics_of(name, moments, group))
        return self._statistics[1]


def check_calibratable(name: str, config: QuantConfig | None) -> None:
    """Raises UserError where a calibrated method is asked of a matrix outside the layers."""
    inside = layer_of(name) is not None and _within_layer(name) in SHARED_INPUT
    if config is not None and config.calibrated and not inside:
        raise UserError(
            f"{name}: method {config.method!r} serves the layers' matrices alone (use min_max, "
            "hqq_scale or hqq)"
        )


def stream_bytes(config: GemmaConfig, tokens: int) -> int:
    """What both streams hold at most: hidden states, and what a layer's matrices gave of them."""
    widest = max(
        4 * config.intermediate_size,
        4 * config.num_heads * max(config.sliding.head_dim, config.full.head_dim),
    )
    return 2 * tokens * (3 * config.hidden_size + widest // 2) * torch.float32.itemsize


def matrix_bytes(rows: int, columns: int) -> int:
    """What calibrating one matrix holds beside the stored one.

    Two matrices of second moments, and one more while they are factored; the matrix in float32;
    what is wanted in its place; a slab.
    """
    return (4 * columns * columns + 3 * rows * columns) * torch.float32.itemsize


def _towards(
    weight: torch.Tensor, wanted: torch.Tensor, inputs: torch.Tensor, statistics: InputStatistics
) -> torch.Tensor:
    """The weights whose outputs on `inputs` are nearest to `wanted`, shrunk towards `weight`.

    weight: float32 [rows, columns]; wanted: [sequences, tokens, rows], inputs: [sequences, tokens,
    columns]. w + share * (wanted - inputs w^T)^T inputs inverse(H). Such a fit has as many unknowns
    a row as columns, and a short text would be learned by heart; so a share of it is taken that
    grows with the tokens for each column.
    """
    tokens = inputs.shape[0] * inputs.shape[1]
    share = tokens / (tokens + _TOKENS_A_COLUMN * weight.shape[1])
    order, factor = statistics.order, statistics.inverse_factor
    missing = torch.zeros_like(weight)
    for x, y in zip(inputs, wanted, strict=True):
        missing.addmm_((y - x @ weight.t()).t(), x)
    missing = missing[:, order] @ factor.t()
    change = torch.empty_like(weight)
    change[:, order] = missing @ factor
    return weight.add(change, alpha=share)


def _within_layer(name: str) -> str:
    """`layers.3.mlp.up_proj.weight` -> `mlp.up_proj.weight`."""
    return name.split(".", 2)[2]
