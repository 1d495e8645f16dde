"""What the store writes for each weight, in the order of the computation.

With a calibration text every weight also moves the text's hidden states; what an interrupted run
has written already is read back and moves them all the same, so that what follows does not depend
on the interruption.
"""

from pathlib import Path

import torch

from python.checkpoint import torchao_metadata
from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.quantized import QuantizedTensor, from_torchao, scale_dtype, to_torchao
from python.checkpoint.tensor import DenseTensor, TorchaoTensor
from python.console.errors import UserError
from python.quant import quantize
from python.quant.calibration.calibration import Calibration
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.lattice_share import LatticeShare
from python.quant.store.store_layout import Shard, StoredWeight


class WeightParts:
    """Quantizes the weights of a folder one after another."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        weights: tuple[StoredWeight, ...],
        device: str,
        text: CalibrationText | None,
    ) -> None:
        self.lattice = LatticeShare()
        self._checkpoint = checkpoint
        self._device = device
        self._calibration: Calibration | None = None
        if text is not None:
            self._calibration = Calibration(checkpoint.config, text, self._vector, device)
        calibrated = [
            weight.name for weight in weights if weight.config and weight.config.calibrated
        ]
        self._last_calibrated = calibrated[-1] if calibrated else None

    def parts_of(self, weight: StoredWeight) -> dict[str, torch.Tensor]:
        """Stored name -> tensor of everything that is written for the weight."""
        values = self._values(weight)
        quantized = self._quantize(weight, values)
        self.lattice.add(quantized)
        if quantized is None:
            return {weight.stored: values}
        del values
        return dict(zip(weight.parts, to_torchao(quantized).parts.values(), strict=True))

    def replay(self, shard: Shard, path: Path, count: int) -> None:
        """Takes the first `count` weights of a shard as they lie in its file."""
        if self._calibration is None:
            return
        offset = len(shard.header)
        for weight in shard.weights[:count]:
            if self._calibration is not None:
                self._calibration.follow(
                    weight.name, self._values(weight), _read_back(weight, path, offset)
                )
                self._passed(weight)
            offset += weight.bytes

    def _quantize(self, weight: StoredWeight, values: torch.Tensor) -> QuantizedTensor | None:
        if self._calibration is not None:
            quantized = self._calibration.quantize(weight.name, values, weight.config)
            self._passed(weight)
            return quantized
        if weight.config is None:
            return None
        return quantize.quantize_weight(weight.name, values, weight.config, self._device)

    def _passed(self, weight: StoredWeight) -> None:
        """Behind the last calibrated weight nobody needs the hidden states any more."""
        if weight.name == self._last_calibrated:
            self._calibration = None

    def _values(self, weight: StoredWeight) -> torch.Tensor:
        tensor = self._checkpoint.read_stored(weight.name)
        if not isinstance(tensor, DenseTensor):
            raise UserError(f"{weight.name} is quantized already")
        return tensor.values

    def _vector(self, name: str) -> torch.Tensor:
        tensor = self._checkpoint.read(name)
        assert isinstance(tensor, DenseTensor)  # norms and scalars are never quantized
        return tensor.values


def _read_back(weight: StoredWeight, path: Path, offset: int) -> QuantizedTensor | None:
    """The weight at a byte of an unfinished file; None where it was kept."""
    if weight.config is None:
        return None
    parts = {}
    with open(path, "rb") as file:
        file.seek(offset)
        for name, header in weight.parts.items():
            tensor = torch.empty(header.shape, dtype=header.dtype)
            if file.readinto(tensor.reshape(-1).view(torch.uint8).numpy().data) != header.bytes:
                raise UserError(f"{path} ends within {weight.name}; start again with --overwrite")
            parts[name.rsplit(f"_{_leaf(weight)}_", 1)[1]] = tensor
    columns = weight.info.shape[1]
    group = weight.config.group_of(weight.name, columns)
    class_name, attributes = torchao_metadata.attributes(
        weight.config.bits, weight.info.shape, group, scale_dtype(columns, group)
    )
    return from_torchao(
        weight.name, TorchaoTensor(class_name=class_name, parts=parts, attributes=attributes)
    )


def _leaf(weight: StoredWeight) -> str:
    return weight.stored.rsplit(".", 1)[1]
