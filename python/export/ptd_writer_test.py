"""The streamed `.ptd` equals what ExecuTorch's own serializer writes, and its reader reads it."""

import hashlib
import pathlib

import pytest
from executorch.exir._serialize.data_serializer import DataEntry, DataPayload
from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

from python.export.ptd_writer import Blob, PtdError, PtdWriter, file_bytes

BLOBS = {
    "layers.0.mlp.up_proj.weight": bytes(range(256)) * 3,
    "norm.weight": b"\x01" * 5,
    "rope.full.frequencies": b"\x02" * 129,
    "last": b"\x03" * 128,
}


def _write(path: pathlib.Path, blobs: dict[str, bytes]) -> bytes:
    announced = [Blob(key=key, bytes=len(data)) for key, data in blobs.items()]
    with path.open("wb") as file:
        writer = PtdWriter(file, announced)
        writer.begin()
        for key, data in blobs.items():
            writer.write(key, data)
        written = writer.finish()
    content = path.read_bytes()
    assert written.bytes == len(content) == file_bytes(announced)
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    return content


def test_digests_of_sections(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("python.export.ptd_writer.SECTION_BYTES", 300)
    with (tmp_path / "model.ptd").open("wb") as file:
        writer = PtdWriter(file, [Blob(key=key, bytes=len(data)) for key, data in BLOBS.items()])
        writer.begin()
        for key, data in BLOBS.items():
            writer.write(key, data)
        written = writer.finish()
    content = (tmp_path / "model.ptd").read_bytes()
    assert written.sections.bytes == 300
    assert len(written.sections.sha256) == -(-len(content) // 300) > 5
    for index, digest in enumerate(written.sections.sha256):
        section = content[300 * index : 300 * (index + 1)]
        assert digest == hashlib.sha256(section).hexdigest()


@pytest.mark.parametrize("count", range(len(BLOBS) + 1))
def test_equals_executorchs_serializer(tmp_path: pathlib.Path, count: int) -> None:
    blobs = dict(list(BLOBS.items())[:count])
    payload = DataPayload(
        buffers=list(blobs.values()),
        named_data={
            key: DataEntry(buffer_index=index, alignment=128, tensor_layout=None)
            for index, key in enumerate(blobs)
        },
    )
    assert _write(tmp_path / "model.ptd", blobs) == bytes(FlatTensorSerializer().serialize(payload))


def test_executorchs_reader_reads_it(tmp_path: pathlib.Path) -> None:
    content = _write(tmp_path / "model.ptd", BLOBS)
    payload = FlatTensorSerializer().deserialize(content)
    read = {key: payload.buffers[e.buffer_index] for key, e in payload.named_data.items()}
    assert read == BLOBS


@pytest.mark.parametrize(
    ("key", "data", "sentence"),
    [
        ("b", b"12345", "b: the next blob is a"),
        ("a", b"1234", "a: 4 bytes, but 5 were announced"),
        ("a", memoryview(b"123456"), "a: 6 bytes, but 5 were announced"),
    ],
)
def test_refuses_other_blobs(tmp_path: pathlib.Path, key: str, data: bytes, sentence: str) -> None:
    with (tmp_path / "model.ptd").open("wb") as file:
        writer = PtdWriter(file, [Blob(key="a", bytes=5)])
        writer.begin()
        with pytest.raises(PtdError, match=sentence):
            writer.write(key, data)
        with pytest.raises(PtdError, match="a was not written"):
            writer.finish()


def test_refuses_a_blob_too_many_and_a_repeated_key(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "model.ptd").open("wb") as file:
        with pytest.raises(PtdError, match="all 0 blobs are written"):
            PtdWriter(file, []).write("a", b"")
        with pytest.raises(PtdError, match="the same key"):
            PtdWriter(file, [Blob(key="a", bytes=1), Blob(key="a", bytes=2)]).begin()
