"""A safetensors file, and a folder of them, as checked headers and lazily read tensors.

Nothing of a file is trusted. The rules are those of the safetensors format: the header lies inside
the file, the tensors' bytes follow one another from 0 to the file's end without holes or overlap,
and every size is what shape and type say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from python.artifact import strict_json
from python.checkpoint.byte_source import ByteSource, checked_product
from python.console.errors import FormatError

INDEX_NAME = "model.safetensors.index.json"
_MAX_HEADER_BYTES = (
    8 << 20
)  # a real shard's header takes some 100 kB; the format's own limit is 100 MB
_MAX_INDEX_BYTES = 8 << 20
_MAX_TENSORS = 1 << 16
_MAX_RANK = 8
_MAX_NAME_CHARACTERS = 512
_MAX_BYTES = 1 << 50

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SafetensorsEntry:
    """Where a tensor lies: `offset` counts from the file's start."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


class SafetensorsFile:
    """An open safetensors file. Raises FormatError for everything that is not as it must be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._source = ByteSource(path)
        try:
            self.metadata, self.entries = _read_header(self._source)
        except BaseException:
            self._source.close()
            raise

    def read(self, name: str) -> torch.Tensor:
        """The tensor, in memory of its own."""
        entry = self.entries[name]
        if not entry.bytes:
            return torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
        # NumPy asks the kernel for huge pages, torch does not: a third less time for a matrix.
        flat = torch.from_numpy(self._source.read_array(entry.offset, entry.bytes))
        return flat.view(DTYPES[entry.dtype]).reshape(entry.shape)

    def will_read(self, name: str) -> None:
        """Lets the disk begin to read the tensor."""
        entry = self.entries[name]
        self._source.will_read(entry.offset, entry.bytes)

    def close(self) -> None:
        self._source.close()


def _read_header(source: ByteSource) -> tuple[Mapping[str, str], Mapping[str, SafetensorsEntry]]:
    if source.size < 8:
        raise FormatError(
            source.path,
            f"is truncated: it has {source.size} bytes, a safetensors file has at least 10",
        )
    length = int.from_bytes(source.read(0, 8), "little")
    if not 2 <= length <= min(_MAX_HEADER_BYTES, source.size - 8):
        raise FormatError(
            source.path,
            f"claims a header of {length} bytes; the file has {source.size} and at most "
            f"{_MAX_HEADER_BYTES} are read",
        )
    text = source.read(8, length)
    if not text.startswith(b"{"):
        raise FormatError(source.path, "has a header that does not begin with '{'")
    header = strict_json.parse(text, source.path)
    metadata = _read_metadata(header.pop("__metadata__", {}), source.path)
    if len(header) > _MAX_TENSORS:
        raise FormatError(
            source.path, f"holds {len(header)} tensors, at most {_MAX_TENSORS} are allowed"
        )
    start = 8 + length
    entries = {name: _read_entry(name, value, start, source) for name, value in header.items()}
    _check_coverage(entries, start, source)
    return metadata, entries


def _read_metadata(value: object, path: Path) -> Mapping[str, str]:
    if not isinstance(value, dict) or any(not isinstance(item, str) for item in value.values()):
        raise FormatError(path, "'__metadata__' must map names to strings")
    return value


def _read_entry(name: str, value: object, start: int, source: ByteSource) -> SafetensorsEntry:
    if not name or len(name) > _MAX_NAME_CHARACTERS:
        raise FormatError(
            source.path,
            f"has a tensor whose name has {len(name)} characters (1 to {_MAX_NAME_CHARACTERS} are "
            "allowed)",
        )
    fields = strict_json.Fields(value, source.path, f"tensor {name!r:.90}")
    dtype = fields.text("dtype")
    shape = fields.items("shape")
    offsets = fields.items("data_offsets")
    fields.finish()
    if dtype not in DTYPES:
        raise fields.error(
            "dtype", f"is {dtype!r:.40}, which is not supported (use {', '.join(DTYPES)})"
        )
    if len(shape) > _MAX_RANK:
        raise fields.error("shape", f"has {len(shape)} sizes, at most {_MAX_RANK} are allowed")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise fields.error("shape", "must hold integers of at least 0")
    if len(offsets) != 2 or not all(type(offset) is int and offset >= 0 for offset in offsets):
        raise fields.error("data_offsets", "must be two integers of at least 0")
    begin, end = offsets
    if not begin <= end <= source.size - start:
        raise fields.error(
            "data_offsets",
            f"are {begin} to {end}, the file has {source.size - start} bytes of data",
        )
    size = checked_product((*shape, DTYPES[dtype].itemsize), _MAX_BYTES)
    if size != end - begin:
        raise fields.error(
            "shape", f"{shape} of {dtype} takes {size} bytes, its data_offsets span {end - begin}"
        )
    return SafetensorsEntry(
        dtype=dtype, shape=tuple(shape), offset=start + begin, bytes=end - begin
    )


def _check_coverage(
    entries: Mapping[str, SafetensorsEntry], start: int, source: ByteSource
) -> None:
    """No byte after the header belongs to no tensor or to two."""
    position = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].offset, item[1].bytes)):
        if entry.offset != position:
            kind = (
                "overlaps the tensor before it"
                if entry.offset < position
                else "leaves a hole before it"
            )
            raise FormatError(
                source.path,
                f"tensor {name!r:.90} {kind}: it begins at byte {entry.offset}, not {position}",
            )
        position += entry.bytes
    if position != source.size:
        raise FormatError(
            source.path, f"has {source.size} bytes, its tensors end at byte {position}"
        )


class SafetensorsFolder:
    """The safetensors files of a folder as one: model.safetensors, or shards and their index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: list[SafetensorsFile] = []
        self._owner: dict[str, SafetensorsFile] = {}
        self.metadata: dict[str, str] = {}
        promised, names = _shards(folder)
        try:
            for name in names:
                self._add(SafetensorsFile(folder / name))
            if promised is not None:
                self._check_index(promised)
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors' names as the files have them, in the files' order."""
        return tuple(self._owner)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(file.path for file in self._files)

    def entry(self, name: str) -> SafetensorsEntry:
        return self._owner[name].entries[name]

    def read(self, name: str) -> torch.Tensor:
        return self._owner[name].read(name)

    def will_read(self, name: str) -> None:
        self._owner[name].will_read(name)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _add(self, file: SafetensorsFile) -> None:
        self._files.append(file)
        for name in sorted(file.entries, key=lambda name: file.entries[name].offset):
            if name in self._owner:
                raise FormatError(
                    file.path, f"holds {name!r:.90}, which {self._owner[name].path.name} holds too"
                )
            self._owner[name] = file
        for key, value in file.metadata.items():
            # Each shard lists its own tensors under this key; the rest is keyed by a tensor's name
            # or says the same.
            if key == "tensor_names" or self.metadata.setdefault(key, value) == value:
                continue
            raise FormatError(
                file.path,
                f"says {value!r:.60} about {key!r:.60}, another shard {self.metadata[key]!r:.60}",
            )

    def _check_index(self, promised: Mapping[str, str]) -> None:
        for name, file_name in promised.items():
            owner = self._owner.get(name)
            if owner is None or owner.path.name != file_name:
                raise FormatError(
                    self.folder / file_name, f"does not hold {name!r:.90}, which the index promises"
                )
        extra = next((name for name in self._owner if name not in promised), None)
        if extra is not None:
            raise FormatError(
                self._owner[extra].path, f"holds {extra!r:.90}, which the index does not know"
            )


def _shards(folder: Path) -> tuple[Mapping[str, str] | None, list[str]]:
    """The index's promises (tensor -> file), if there is one, and the files to open."""
    index = folder / INDEX_NAME
    if index.exists():
        promised = _read_index(index)
        return promised, sorted(set(promised.values()))
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if not found:
        raise FormatError(folder, "holds no .safetensors file (the weights of a checkpoint)")
    if len(found) > 1:
        raise FormatError(
            folder,
            f"holds {len(found)} .safetensors files but no {INDEX_NAME}; fetch the index as well",
        )
    return None, found


def _read_index(path: Path) -> Mapping[str, str]:
    fields = strict_json.Fields(strict_json.read(path, _MAX_INDEX_BYTES), path, "the index")
    promised = fields.mapping("weight_map")
    for name, file_name in promised.items():
        if (
            not isinstance(file_name, str)
            or Path(file_name).name != file_name
            or not file_name.endswith(".safetensors")
        ):
            raise FormatError(
                path,
                f"places {name!r:.90} in {file_name!r:.60}, which is no .safetensors file of the "
                "folder",
            )
    if not promised:
        raise FormatError(path, "places no tensors")
    return promised
