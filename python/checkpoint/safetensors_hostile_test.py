"""Hostile safetensors files: each is refused in one sentence, in under 100 ms and 64 MB."""

import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from python.checkpoint.safetensors_reader import INDEX_NAME, SafetensorsFile, SafetensorsFolder
from python.checkpoint.testing.refusal_cost import check_cheap, refusal_of


def _file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _one(
    dtype: Any = "F32", shape: Any = (2, 4), offsets: Any = (0, 32), **more: Any
) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}}


_DATA = bytes(32)

CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is truncated: it has 0 bytes"),
    "seven bytes": (bytes(7), "is truncated: it has 7 bytes"),
    "length only": (struct.pack("<Q", 2), "claims a header of 2 bytes"),
    **{
        f"header of {length} bytes": (
            _file(_one(), _DATA, length),
            f"claims a header of {length} bytes",
        )
        for length in (0, 1, 2**31, 2**63, 2**64 - 1, 100_000_001)
    },
    "header that is not UTF-8": (_file(b"{\xff}"), "is not UTF-8"),
    "header that is no JSON": (_file(b"{nonsense}"), "is not JSON"),
    "header that is a list": (_file(b"[]"), "does not begin with"),
    "header with a leading space": (_file(b" {}"), "does not begin with"),
    "deep nesting": (_file(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), "nested too deeply"),
    "deep lists": (_file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deeply"),
    "duplicate name": (
        _file(
            b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
        ),
        "'a' occurs twice",
    ),
    "a name of 1 MB": (_file({"n" * (1 << 20): _one()["a"]}, _DATA), "name has 1048576 characters"),
    "an empty name": (_file({"": _one()["a"]}, _DATA), "name has 0 characters"),
    "a lone surrogate": (_file(b'{"\\ud800":1}'), "lone surrogate"),
    "entry that is a number": (_file({"a": 1}), "tensor 'a' must be an object"),
    "no dtype": (_file({"a": {"shape": [], "data_offsets": [0, 4]}}, bytes(4)), "has no 'dtype'"),
    "an extra key": (_file(_one(extra=1), _DATA), "unknown keys: 'extra'"),
    "unknown dtype": (_file(_one(dtype="F128"), _DATA), "is 'F128', which is not supported"),
    "dtype that is a number": (_file(_one(dtype=5), _DATA), "must be a string"),
    "float size": (_file(_one(shape=[2.0, 4]), _DATA), "must hold integers"),
    "boolean size": (_file(_one(shape=[True, 8]), _DATA), "must hold integers"),
    "negative size": (_file(_one(shape=[-2, -4]), _DATA), "must hold integers of at least 0"),
    "infinite size": (
        _file(b'{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,32]}}', _DATA),
        "is not finite",
    ),
    "NaN": (
        _file(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,32]}}', _DATA),
        "NaN is not JSON",
    ),
    "size of 5,000 digits": (_file(b'{"a":{"shape":[' + b"9" * 5000 + b"]}}"), "beyond 64 bits"),
    "rank 9": (_file(_one(shape=[1] * 9), _DATA), "has 9 sizes"),
    "rank 65": (_file(_one(shape=[1] * 65), _DATA), "has 65 sizes"),
    "elements wrap to 0": (
        _file(_one(shape=[2**32, 2**32]), _DATA),
        "takes None bytes, its data_offsets span 32",
    ),
    "bytes wrap to 32": (_file(_one(shape=[2**62 + 8]), _DATA), "takes None bytes"),
    "bits wrap": (_file(_one(shape=[2**61, 2]), _DATA), "takes None bytes"),
    "shape too small": (
        _file(_one(shape=[2, 3]), _DATA),
        "takes 24 bytes, its data_offsets span 32",
    ),
    "shape too large": (
        _file(_one(shape=[2, 5]), _DATA),
        "takes 40 bytes, its data_offsets span 32",
    ),
    "offsets reversed": (_file(_one(offsets=[32, 0]), _DATA), "are 32 to 0"),
    "offsets beyond the end": (
        _file(_one(offsets=[0, 33], shape=[33], dtype="U8"), _DATA),
        "has 32 bytes of data",
    ),
    "offsets of 2^63": (_file(_one(offsets=[2**63 - 32, 2**63 - 1]), _DATA), "are 92233"),
    "negative offset": (_file(_one(offsets=[-32, 0]), _DATA), "two integers of at least 0"),
    "three offsets": (_file(_one(offsets=[0, 16, 32]), _DATA), "two integers"),
    "overlap": (
        _file({**_one(), "b": {"dtype": "F32", "shape": [4], "data_offsets": [16, 32]}}, _DATA),
        "'b' overlaps",
    ),
    "the same bytes twice": (_file({**_one(), "b": _one()["a"]}, _DATA), "overlaps"),
    "hole": (_file(_one(offsets=[4, 32], shape=[7]), _DATA), "'a' leaves a hole before it"),
    "bytes left over": (_file(_one(), _DATA + b"x"), "its tensors end at byte"),
    "one byte missing": (_file(_one(), _DATA[:-1]), "has 31 bytes of data"),
    "metadata that is a list": (
        _file({"__metadata__": [], **_one()}, _DATA),
        "must map names to strings",
    ),
    "metadata of numbers": (
        _file({"__metadata__": {"a": 1}, **_one()}, _DATA),
        "must map names to strings",
    ),
    "70,000 tensors": (
        _file(
            {str(i): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(70_000)}
        ),
        "holds 70000 tensors",
    ),
}
_SLOW = {"70,000 tensors"}  # five megabytes of honest JSON take their time


@pytest.mark.parametrize("case", CASES)
def test_refused(tmp_path: Path, case: str) -> None:
    data, problem = CASES[case]
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(data)
    refusal = refusal_of(lambda: SafetensorsFile(path))
    assert refusal.sentence.startswith(f"{path}: ")
    assert re.search(re.escape(problem), refusal.sentence), refusal.sentence
    if case not in _SLOW:
        check_cheap(refusal)


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {
        "bf": torch.randn(3, 5).to(torch.bfloat16),
        "f": torch.randn(7),
        "scalar": torch.tensor(2.5),
        "i": torch.arange(6, dtype=torch.int8).reshape(2, 3),
        "none": torch.empty(0, 4),
        "b": torch.tensor([True, False]),
    }
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    file = SafetensorsFile(path)
    assert file.metadata == {"format": "pt"}
    assert set(file.entries) == set(tensors)
    for name, tensor in tensors.items():
        read = file.read(name)
        assert read.dtype == tensor.dtype
        assert torch.equal(read, tensor)


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    data = _file(_one(), _DATA)
    path = tmp_path / "t.safetensors"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert str(path) in refusal_of(lambda: SafetensorsFile(path)).sentence


def test_random_damage_to_the_header_never_escapes(tmp_path: Path) -> None:
    """One byte in 400 places: either the file is still read, or it is refused in our own words."""
    data = bytearray(_file({"__metadata__": {"x": "y"}, **_one()}, _DATA))
    random = np.random.default_rng(0)
    path = tmp_path / "d.safetensors"
    for _ in range(400):
        damaged = bytearray(data)
        damaged[random.integers(0, len(data) - 32)] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            SafetensorsFile(path).read("a")
        except KeyError as error:
            assert error.args == ("a",)  # renamed by the damage
        except Exception as error:
            assert type(error).__name__ == "FormatError", error


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    path.write_bytes(_file(_one(), _DATA))
    file = SafetensorsFile(path)
    os.truncate(path, 60)
    assert "when it was opened" in refusal_of(lambda: file.read("a")).sentence


def _folder(folder: Path, shards: dict[str, dict[str, Any]], index: Any = None) -> Path:
    for name, header in shards.items():
        (folder / name).write_bytes(_file(header, _DATA))
    if index is not None:
        (folder / INDEX_NAME).write_text(json.dumps(index))
    return folder


_B = {"b": _one()["a"]}


@pytest.mark.parametrize(
    ("shards", "index", "problem"),
    [
        ({}, None, "holds no .safetensors file"),
        (
            {"1.safetensors": _one(), "2.safetensors": _B},
            None,
            "holds 2 .safetensors files but no model.safetensors",
        ),
        (
            {"1.safetensors": _one()},
            {"weight_map": {"a": "2.safetensors"}},
            "No such file|2.safetensors",
        ),
        (
            {"1.safetensors": _one()},
            {"weight_map": {"a": "../1.safetensors"}},
            "which is no .safetensors file",
        ),
        (
            {"1.safetensors": _one()},
            {"weight_map": {"a": "/etc/passwd"}},
            "which is no .safetensors file",
        ),
        ({"1.safetensors": _one()}, {"weight_map": {"a": 1}}, "which is no .safetensors file"),
        ({"1.safetensors": _one()}, {"weight_map": {}}, "places no tensors"),
        ({"1.safetensors": _one()}, {}, "has no 'weight_map'"),
        ({"1.safetensors": _one()}, [], "must be an object"),
        (
            {"1.safetensors": _one()},
            {"weight_map": {"a": "1.safetensors", "c": "1.safetensors"}},
            "does not hold 'c'",
        ),
        ({"1.safetensors": {**_B}}, {"weight_map": {"a": "1.safetensors"}}, "does not hold 'a'"),
        (
            {"1.safetensors": _one(), "2.safetensors": _one()},
            {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}},
            "holds 'a', which 1.safetensors holds too",
        ),
        (
            {"1.safetensors": _one(), "2.safetensors": _B},
            {"weight_map": {"a": "2.safetensors", "b": "1.safetensors"}},
            "does not hold 'a'",
        ),
    ],
)
def test_folders_are_checked(
    tmp_path: Path, shards: dict[str, Any], index: Any, problem: str
) -> None:
    folder = _folder(tmp_path, shards, index)
    try:
        SafetensorsFolder(folder)
    except Exception as error:
        assert re.search(problem, str(error)), error
        assert type(error).__name__ in ("FormatError", "FileNotFoundError")
    else:
        raise AssertionError("accepted")


def test_a_tensor_that_the_index_does_not_know(tmp_path: Path) -> None:
    shard = {"a": _one()["a"], "b": {"dtype": "U8", "shape": [0], "data_offsets": [32, 32]}}
    folder = _folder(tmp_path, {"1.safetensors": shard}, {"weight_map": {"a": "1.safetensors"}})
    assert (
        "holds 'b', which the index does not know"
        in refusal_of(lambda: SafetensorsFolder(folder)).sentence
    )


def test_shards_are_one(tmp_path: Path) -> None:
    index = {
        "metadata": {"total_size": 64},
        "weight_map": {"a": "1.safetensors", "b": "2.safetensors"},
    }
    files = SafetensorsFolder(
        _folder(tmp_path, {"1.safetensors": _one(), "2.safetensors": _B}, index)
    )
    assert files.names == ("a", "b")
    assert files.read("b").shape == (2, 4)
