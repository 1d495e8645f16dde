"""How torchao writes its tensor subclasses into safetensors: names of parts and the metadata of a
tensor.

The same as torchao.prototype.safetensors' flatten_tensor_state_dict gives (a test compares them),
but without the tensors: a header must be known before the first weight is quantized.
"""

import json

from python.checkpoint.tensor import TorchaoTensor

PLAIN = json.dumps({"_type": "Tensor"})


def part_name(name: str, part: str) -> str:
    """`a.b.weight`, `scale` -> `a.b._weight_scale`."""
    module, weight = name.rsplit(".", 1)
    return f"{module}._{weight}_{part}"


def subclass_metadata(tensor: TorchaoTensor) -> str:
    """The metadata entry of a tensor subclass, in torchao's own spelling."""
    value = {
        "_type": tensor.class_name, "_data": dict(tensor.attributes),
        "_tensor_data_names": list(tensor.parts)
    }  # fmt: skip
    return json.dumps(value)
