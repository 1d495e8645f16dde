"""For tests: transformers' own model of a quantized folder, compared with what our reader gives.

torchao dequantizes no Int4Tensor on the CPU, so its values are computed here from its parts, by its
documented convention: two columns a byte, the even one low, signed; scale and zero_point [groups,
rows]; w = q * scale + zero_point.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.stored_names import hf_from_canonical
from python.quant.dequantize import dequantize

_SLAB = 1 << 14  # rows compared at a time


def loaded_model(folder: Path) -> Any:
    """The model as AutoModelForCausalLM makes it; fails where a weight is missing or left over."""
    load: Any = AutoModelForCausalLM.from_pretrained  # its stubs know one result, not two
    model, told = load(folder, dtype="auto", output_loading_info=True)
    assert not told["missing_keys"], told
    assert not told["unexpected_keys"], told
    return model


def check_weights(model: Any, folder: Path, classes: set[str]) -> None:
    """Every weight of the folder is in the model, as `open_checkpoint` reads it, bit for bit.

    classes: of the tensors that must have been seen.
    """
    parameters = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    seen = set()
    with open_checkpoint(folder) as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        for name in checkpoint.names():
            theirs: Any = parameters[hf_from_canonical(name)].data
            ours = dequantize(name, checkpoint.read_stored(name))
            if type(theirs) is torch.Tensor:
                ours = ours.to(theirs.dtype)  # transformers rounds what is plain to its own type
            for start in range(0, theirs.shape[0], _SLAB):
                rows = slice(start, start + _SLAB)
                assert torch.equal(values_of(theirs, rows), ours[rows].float()), name
            seen.add(type(theirs).__name__)
    assert seen == classes


def values_of(tensor: Any, rows: slice) -> torch.Tensor:
    """float32 values of a tensor of transformers' model."""
    kind = type(tensor).__name__
    if kind == "Int4Tensor":
        packed = tensor.qdata[rows].view(torch.int8)
        q = torch.stack([packed << 4 >> 4, packed >> 4], dim=-1).float()
        scale, zero = tensor.scale.t()[rows].float(), tensor.zero_point.t()[rows].float()
        grouped = q.reshape(*scale.shape, -1) * scale.unsqueeze(-1) + zero.unsqueeze(-1)
        return grouped.reshape(packed.shape[0], -1)
    if kind == "IntxUnpackedToInt8Tensor":
        scale, zero = tensor.scale[rows].float(), tensor.zero_point[rows].float()
        q = tensor.qdata[rows].float().reshape(*scale.shape, -1)
        grouped = (q - zero.unsqueeze(-1)) * scale.unsqueeze(-1)
        return grouped.reshape(scale.shape[0], -1)
    return tensor[rows].float()
