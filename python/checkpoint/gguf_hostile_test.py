"""Hostile GGUF files: each is refused in one sentence that says what is wrong.

A refusal takes less than 100 ms and 64 MB.

The cases follow llama.cpp's test-gguf (header, metadata, tensors, data) and the CVEs of its reader:
sizes that wrap, paddings that wrap, counts that no file could hold.
"""

import os
import re
import resource
import struct
from functools import partial
from pathlib import Path

import pytest

from python.checkpoint import ggml_types
from python.checkpoint.gguf_reader import GgufFile
from python.checkpoint.testing.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    STRING,
    U8,
    U32,
    U64,
    GgufBytes,
    array,
    number_pair,
    pair,
    scalar,
    string,
    tensor,
    text_pair,
)
from python.checkpoint.testing.refusal_cost import check_cheap, refusal_of

_F32 = ggml_types.F32.number
_Q4_0 = ggml_types.Q4_0.number
_Q4_K = ggml_types.Q4_K.number
_HUGE = (1 << 16) + 1, 1 << 32, (1 << 64) - 1


def _with_pair(*pairs: bytes) -> bytes:
    return GgufBytes(pairs=list(pairs)).build()


def _with_count(what: str, count: int) -> bytes:
    if what == "tensor":
        return GgufBytes(tensor_count=count).build()
    return GgufBytes(pair_count=count).build()


def _with_tensor(*tensors: bytes, data: bytes = bytes(256)) -> bytes:
    return GgufBytes(tensors=list(tensors), data=data).build()


_ONE = tensor("a", [32, 2], _F32, 0)

CASES: dict[str, tuple[bytes, str]] = {
    # header
    "empty": (b"", "truncated within the header"),
    "magic only": (b"GGUF", "truncated within the header"),
    "bad magic": (GgufBytes(magic=b"GGML").build(), "begins with b'GGML'"),
    "version 0": (GgufBytes(version=0).build(), "GGUF version 0"),
    "version 1": (GgufBytes(version=1).build(), "GGUF version 1"),
    "version 4": (GgufBytes(version=4).build(), "GGUF version 4"),
    "big endian": (GgufBytes(version=3 << 24).build(), "big-endian"),
    **{
        f"{count} {what}": (_with_count(field, count), f"claims {count} {what}")
        for count in _HUGE
        for field, what in (("tensor", "tensors"), ("pair", "metadata keys"))
    },
    "more tensors than the file holds": (
        GgufBytes(tensors=[_ONE], tensor_count=2, data=bytes(256)).build(),
        "has no name|not UTF-8|claims",
    ),
    # metadata
    "key longer than the file": (
        GgufBytes(pairs=[struct.pack("<Q", 60) + b"a" * 20]).build(),
        "truncated within",
    ),
    "key of 2^64 - 1 bytes": (
        GgufBytes(pairs=[struct.pack("<Q", 2**64 - 1) + bytes(20)]).build(),
        "claims 1844674",
    ),
    "key of 64 KiB": (_with_pair(number_pair("k" * 65536, U8, 1)), "claims 65536 bytes"),
    "empty key": (_with_pair(number_pair("", U32, 1)), "metadata key 0 is empty"),
    "key that is not UTF-8": (
        _with_pair(string(b"\xff\xfe") + struct.pack("<II", U32, 1)),
        "metadata key 0 is not UTF-8",
    ),
    "duplicate key": (
        _with_pair(number_pair("a", U32, 1), number_pair("a", U32, 1)),
        "'a' occurs twice",
    ),
    "unknown type": (_with_pair(pair("a", 13, bytes(16))), "'a' has the unknown type 13"),
    "unknown array type": (
        _with_pair(pair("a", ARRAY, array(77, [bytes(64)]))),
        "array of the unknown type 77",
    ),
    "array of arrays": (
        _with_pair(pair("a", ARRAY, array(ARRAY, [bytes(64)]))),
        "is an array of arrays",
    ),
    "boolean 2": (_with_pair(pair("a", BOOL, b"\x02" + bytes(16))), "holds the boolean 2"),
    "boolean 2 in an array": (
        _with_pair(pair("a", ARRAY, array(BOOL, [b"\x00", b"\x02"]))),
        "holds the boolean 2",
    ),
    "string of 2^63 bytes": (
        _with_pair(pair("a", STRING, struct.pack("<Q", 1 << 63) + bytes(9))),
        "'a' claims 92233",
    ),
    "string of 5 MB in 30 bytes": (
        _with_pair(pair("a", STRING, struct.pack("<Q", 5 << 20) + bytes(22))),
        "'a' claims",
    ),
    "string beyond the end": (
        _with_pair(pair("a", STRING, struct.pack("<Q", 4000) + bytes(22))),
        "truncated within 'a'",
    ),
    "string that is not UTF-8": (
        _with_pair(pair("a", STRING, string(b"\xc3\x28"))),
        "'a' is not UTF-8",
    ),
    **{
        f"array of {count} {name}": (
            _with_pair(pair("a", ARRAY, array(kind, [bytes(64)], count))),
            f"'a' claims {count} items",
        )
        for count in (*_HUGE, (1 << 62) + 1)
        for kind, name in ((U8, "bytes"), (U64, "integers"), (STRING, "strings"))
    },
    "array with a string beyond the end": (
        _with_pair(
            pair("a", ARRAY, array(STRING, [string("x"), struct.pack("<Q", 900), bytes(20)]))
        ),
        "truncated within 'a'",
    ),
    "array with a string of 2^64 - 1": (
        _with_pair(pair("a", ARRAY, array(STRING, [struct.pack("<Q", 2**64 - 1), bytes(20)]))),
        r"'a'\[0\] claims",
    ),
    # alignment
    **{
        f"alignment {value} as {kind}": (
            _with_pair(number_pair("general.alignment", kind, value)),
            "general.alignment is",
        )
        for kind, value in (
            (U32, 0),
            (U32, 3),
            (U32, 33),
            (U32, 2**32 - 1),
            (U64, 1 << 63),
            (F32, 32.0),
            (BOOL, 1),
        )
    },
    "alignment as text": (
        _with_pair(text_pair("general.alignment", "32")),
        "general.alignment is '32'",
    ),
    # tensors
    "tensor name of 2^40 bytes": (
        _with_tensor(struct.pack("<Q", 1 << 40) + bytes(60)),
        "tensor 0 claims 10995",
    ),
    "tensor name of 300 bytes": (
        _with_tensor(tensor("n" * 300, [32], _F32, 0)),
        "claims 300 bytes",
    ),
    "tensor without a name": (_with_tensor(tensor("", [32], _F32, 0)), "tensor 0 has no name"),
    "tensor name that is not UTF-8": (
        _with_tensor(tensor(b"\xff", [32], _F32, 0)),
        "tensor 0 is not UTF-8",
    ),
    "duplicate tensor": (
        _with_tensor(_ONE, tensor("a", [32, 2], _F32, 256), data=bytes(512)),
        "'a' occurs twice",
    ),
    "no dimensions": (_with_tensor(tensor("a", [], _F32, 0)), "'a' has 0 dimensions"),
    "five dimensions": (_with_tensor(tensor("a", [1] * 5, _F32, 0)), "'a' has 5 dimensions"),
    "65 dimensions": (_with_tensor(tensor("a", [1] * 65, _F32, 0)), "'a' has 65 dimensions"),
    "2^32 - 1 dimensions": (
        _with_tensor(string("a") + struct.pack("<I", 2**32 - 1) + bytes(64)),
        "4294967295 dim",
    ),
    "zero columns": (_with_tensor(tensor("a", [0, 2], _F32, 0)), r"sizes \[0, 2\]"),
    "zero rows": (_with_tensor(tensor("a", [32, 0], _F32, 0)), r"sizes \[32, 0\]"),
    "negative size": (_with_tensor(tensor("a", [2**64 - 32, 2], _F32, 0)), "each must be within"),
    "elements wrap to 0": (_with_tensor(tensor("a", [1 << 32, 1 << 32], _F32, 0)), "has more than"),
    "bytes wrap to 0": (_with_tensor(tensor("a", [1 << 31, 1 << 31], _F32, 0)), "has more than"),
    "bytes wrap to 256": (
        _with_tensor(tensor("a", [64, (1 << 40) - 1, 1 << 18], _F32, 0)),
        "has more than",
    ),
    "exabytes behind a small file": (
        _with_tensor(tensor("a", [1 << 40, 1 << 10], _Q4_0, 0)),
        "truncated: tensor 'a'",
    ),
    "padding wraps": (
        _with_tensor(tensor("a", [2**40, 2**8 - 1, 1], _F32, 0)),
        "truncated|more than",
    ),
    "unknown tensor type": (
        _with_tensor(tensor("a", [32], 99, 0)),
        "'a' has the type 99, which is not supported",
    ),
    "removed tensor type": (_with_tensor(tensor("a", [32], 4, 0)), "'a' has the type 4"),
    "type that we do not read": (
        _with_tensor(tensor("a", [256], 16, 0)),
        "'a' has the type IQ2_XXS",
    ),
    "type 2^31": (_with_tensor(tensor("a", [32], 1 << 31, 0)), "'a' has the type 2147483648"),
    "half a block": (
        _with_tensor(tensor("a", [48], _Q4_0, 0)),
        "rows of 48, Q4_0 has blocks of 32",
    ),
    "half a super-block": (
        _with_tensor(tensor("a", [640, 2], _Q4_K, 0)),
        "rows of 640, Q4_K has blocks of 256",
    ),
    "offset in the header": (_with_tensor(tensor("a", [32], _F32, 2**64 - 32)), "it must lie at 0"),
    "unaligned offset": (
        _with_tensor(tensor("a", [32], _F32, 1)),
        "lies at offset 1, it must lie at 0",
    ),
    "overlap": (
        _with_tensor(_ONE, tensor("b", [32], _F32, 128), data=bytes(512)),
        "it must lie at 256",
    ),
    "hole": (
        _with_tensor(_ONE, tensor("b", [32], _F32, 288), data=bytes(512)),
        "it must lie at 256",
    ),
    # data
    "no data": (_with_tensor(_ONE, data=b""), "truncated: tensor 'a' ends at byte"),
    "one byte short": (_with_tensor(_ONE, data=bytes(255)), "truncated: tensor 'a' ends at byte"),
    "second tensor missing": (
        _with_tensor(_ONE, tensor("b", [32], _F32, 256)),
        "truncated: tensor 'b'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(tmp_path: Path, case: str) -> None:
    data, problem = CASES[case]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(data)
    refusal = refusal_of(lambda: GgufFile(path))
    assert refusal.sentence.startswith(f"{path}: ")
    assert re.search(problem, refusal.sentence), refusal.sentence
    check_cheap(refusal)


def _valid() -> bytes:
    pairs = [
        text_pair("general.architecture", "gemma3"),
        number_pair("general.alignment", U32, 32),
        pair("tokens", ARRAY, array(STRING, [string("a"), string("é"), string("")])),
        pair("scores", ARRAY, array(F32, [scalar(F32, 1.5), scalar(F32, -2)])),
        pair("flags", ARRAY, array(BOOL, [b"\x01", b"\x00"])),
    ]
    tensors = [tensor("a", [32, 2], _F32, 0), tensor("b", [64], _Q4_0, 256)]
    return GgufBytes(pairs=pairs, tensors=tensors, data=bytes(range(256)) + bytes(36)).build()


def test_the_valid_neighbour_is_read(tmp_path: Path) -> None:
    """The cases above differ from an accepted file in what they are about, and in nothing else."""
    path = tmp_path / "valid.gguf"
    path.write_bytes(_valid())
    file = GgufFile(path)
    assert list(file.metadata["tokens"]) == ["a", "é", ""]
    assert file.metadata["scores"].tolist() == [1.5, -2]
    assert file.metadata["flags"].tolist() == [True, False]
    assert file.tensors["a"].shape == (2, 32)
    assert file.read("a").tobytes() == bytes(range(256))
    assert file.read("b").shape == (1, 36)


def test_a_custom_alignment_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "aligned.gguf"
    pairs = [number_pair("general.alignment", U32, 64)]
    tensors = [tensor("a", [8], _F32, 0), tensor("b", [8], _F32, 64)]
    path.write_bytes(
        GgufBytes(pairs=pairs, tensors=tensors, data=bytes(64) + b"b" * 32, alignment=64).build()
    )
    assert GgufFile(path).read("b").tobytes() == b"b" * 32


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    data = _valid()
    path = tmp_path / "t.gguf"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert str(path) in refusal_of(lambda: GgufFile(path)).sentence


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.gguf"
    path.write_bytes(_valid())
    file = GgufFile(path)
    os.truncate(path, len(_valid()) - 10)
    refusal = refusal_of(lambda: file.read("b"))
    assert "when it was opened" in refusal.sentence


def test_not_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, Path("/dev/null")):
        assert "is not a regular file" in refusal_of(partial(GgufFile, path)).sentence


def test_a_large_file_of_one_string_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    path.write_bytes(GgufBytes(pairs=[pair("a", STRING, struct.pack("<Q", 1 << 30))]).build())
    os.truncate(path, 1 << 31)  # sparse
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check_cheap(refusal_of(lambda: GgufFile(path)))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 64 << 20


def test_bad_text_inside_an_array_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_bytes(_with_pair(pair("a", ARRAY, array(STRING, [string("ok"), string(b"\xff")]))))
    values = GgufFile(path).metadata["a"]
    assert values[0] == "ok"
    assert r"'a'[1] is not UTF-8" in refusal_of(lambda: values[1]).sentence
    assert r"'a'[1] is not UTF-8" in refusal_of(values.to_list).sentence
