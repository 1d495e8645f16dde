"""Weights that are torchao tensor subclasses.

Their parts and attributes stand in the safetensors files as torchao's own
flatten_tensor_state_dict names them.
"""

from collections.abc import Mapping
from typing import Any

from python.artifact import strict_json
from python.checkpoint.safetensors_reader import SafetensorsFolder
from python.checkpoint.tensor import TensorInfo, TorchaoTensor
from python.checkpoint.torchao_metadata import part_name
from python.checkpoint.weight_source import WeightSource
from python.console.errors import FormatError

_CLASSES = ("Int4Tensor", "IntxUnpackedToInt8Tensor")
# What such a tensor is stored as (`TensorInfo.encoding`) -> bits of an integer of it.
TORCHAO_BITS: Mapping[str, int] = {
    "Int4Tensor": 4,
    "IntxUnpackedToInt8Tensor": 8,
    "IntxUnpackedToInt8Tensor of int4": 4,
}
_INT4 = {"_type": "torch.dtype", "_data": "int4"}


class TorchaoSource(WeightSource):
    """`attributes`: {_type, _data, _tensor_data_names} of the tensor."""

    def __init__(self, files: SafetensorsFolder, name: str, attributes: Mapping[str, Any]) -> None:
        parts = {part: part_name(name, part) for part in map(str, attributes["_tensor_data_names"])}
        super().__init__(files, name, parts)
        self.class_name: str = attributes["_type"]
        self._data: Mapping[str, Any] = attributes["_data"]

    def group(self) -> int:
        """Columns that share a scale, of a matrix. Raises FormatError where `block_size` is none."""
        block = self._data.get("block_size")
        if (
            not isinstance(block, list)
            or len(block) != 2
            or block[0] != 1
            or type(block[1]) is not int
            or block[1] < 1
        ):
            raise self.error(f"has a block_size of {block!r:.60} (read is [1, group])")
        return block[1]

    def describe(self, name: str) -> TensorInfo:
        rows, columns = (*self.entry("qdata").shape, 0, 0)[:2]
        if self.class_name == "Int4Tensor":
            columns *= 2
        encoding = self.class_name
        if encoding == "IntxUnpackedToInt8Tensor" and self._data.get("target_dtype") == _INT4:
            encoding += " of int4"
        return TensorInfo(name=name, encoding=encoding, shape=(rows, columns), bytes=self.bytes)

    def read(self) -> TorchaoTensor:
        parts = {part: self.tensor(part) for part in self.parts}
        return TorchaoTensor(class_name=self.class_name, parts=parts, attributes=self._data)


def torchao_sources(files: SafetensorsFolder) -> dict[str, TorchaoSource]:
    """Every torchao tensor of the folder, by its name. Raises FormatError."""
    sources = {
        name: TorchaoSource(files, name, attributes)
        for name, attributes in _attributes(files).items()
    }
    stored = set(files.names)
    for name, source in sources.items():
        for part in source.parts.values():
            if part not in stored:
                raise FormatError(
                    files.folder,
                    f"{name!r:.90} is a {source.class_name}, but {part!r:.90} is missing",
                )
    return sources


def _attributes(files: SafetensorsFolder) -> dict[str, Any]:
    """Name -> {_type, _data, _tensor_data_names} of every torchao tensor."""
    attributes = {}
    for name, text in files.metadata.items():
        if not text.startswith("{"):
            continue
        value = strict_json.parse(text.encode(), files.folder)
        if not isinstance(value, dict) or value.get("_type") in (None, "Tensor"):
            continue
        if value["_type"] not in _CLASSES:
            raise FormatError(
                files.folder,
                f"{name!r:.90} is a {value['_type']!r:.40}; only {' and '.join(_CLASSES)} are read",
            )
        parts = value.get("_tensor_data_names")
        if (
            not isinstance(parts, list)
            or not {"qdata", "scale"} <= set(map(str, parts))
            or "." not in name
        ):
            raise FormatError(files.folder, f"{name!r:.90} is a {value['_type']} without its parts")
        if not isinstance(value.get("_data"), dict):
            raise FormatError(
                files.folder, f"{name!r:.90} is a {value['_type']} without its attributes"
            )
        attributes[name] = value
    return attributes
