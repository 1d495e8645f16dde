"""Tests of manifest: what is written is read back, and departures from docs/formats.md are refused."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from python.artifact import manifest, sha256
from python.console.errors import FormatError


def _example(folder: Path) -> manifest.Manifest:
    (folder / "model.pte").write_bytes(b"program")
    (folder / "tokenizer.bin").write_bytes(b"pieces")
    return manifest.Manifest(
        model_name="gemma3_270m",
        config={"layers": 18, "epsilon": 1e-6, "window": None},
        recipe="none",
        max_seq_len=4096,
        max_prefill_chunk=512,
        methods=("prefill", "decode", "score"),
        files=(
            manifest.entry_of(folder / "tokenizer.bin"),
            manifest.entry_of(folder / "model.pte"),
        ),
        tokenizer=manifest.TokenizerEntry(
            file="tokenizer.bin", bos_id=2, add_bos=True, stop_ids=(1, 106), chat_template="gemma4"
        ),
        sampling=manifest.Sampling(temperature=1.0, top_k=64, top_p=0.95),
        versions={"torch": "2.13.0", "executorch": "1.5.1"},
    )


def test_round_trip(tmp_path: Path) -> None:
    example = _example(tmp_path)
    manifest.write(tmp_path, example)
    first = (tmp_path / manifest.FILE_NAME).read_bytes()
    read = manifest.read(tmp_path)
    assert [entry.name for entry in read.files] == ["model.pte", "tokenizer.bin"]
    assert read.tokenizer == example.tokenizer
    assert read.config == example.config
    manifest.check_files(tmp_path, read)
    manifest.write(tmp_path, read)
    assert (tmp_path / manifest.FILE_NAME).read_bytes() == first


def test_suppressed_ids_may_be_absent(tmp_path: Path) -> None:
    plain = _example(tmp_path)
    assert b"suppressed_ids" not in manifest.to_bytes(plain)
    manifest.write(tmp_path, dataclasses.replace(plain, suppressed_ids=(5, 258881)))
    assert manifest.read(tmp_path).suppressed_ids == (5, 258881)


def _set(*keys: Any, to: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = to

    return change


def _drop(*keys: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_set("format_version", to=2), "'format_version' of the manifest is 2"),
        (_set("suppressed_ids", to=[1 << 24]), "'suppressed_ids' of the manifest must be a list"),
        (_set("suppressed_ids", to=[7, 5]), "'suppressed_ids' of the manifest does not ascend"),
        (_set("suppressed_ids", to=[5, 5]), "'suppressed_ids' of the manifest does not ascend"),
        (_set("surprise", to=1), "unknown keys: 'surprise'"),
        (_set("model", "surprise", to=1), "'model' has unknown keys: 'surprise'"),
        (_set("tokenizer", "surprise", to=1), "'tokenizer' has unknown keys"),
        (_set("sampling", "min_p", to=1), "'sampling' has unknown keys"),
        (_set("files", 0, "url", to=""), "an entry of 'files' has unknown keys"),
        *((_drop(key), f"has no '{key}'") for key in (
            "format_version", "model", "recipe", "max_seq_len", "max_prefill_chunk", "methods",
            "files", "tokenizer",
            "sampling", "versions",
        )),
        (_drop("tokenizer", "stop_ids"), "has no 'stop_ids'"),
        (_set("tokenizer", "stop_ids", to=[1, -1]), "must be a list of token ids"),
        (_set("tokenizer", "stop_ids", to=[True]), "must be a list of token ids"),
        (_set("tokenizer", "file", to="other.bin"), "not in 'files'"),
        (_set("tokenizer", "chat_template", to="llama"), "none of gemma3, gemma4"),
        (_set("max_prefill_chunk", to=4097), "is 4097, not within 1 to 4096"),
        (_set("max_seq_len", to=0), "is 0, not within 1"),
        (_set("methods", to=["prefill", "prefill"]), "distinct names"),
        (_set("methods", to=["train"]), "distinct names"),
        (_set("methods", to=[["decode"]]), "distinct names"),
        (_set("files", 0, "name", to="../model.pte"), "not the plain name"),
        (_set("files", 0, "name", to="tokenizer.bin"), "names a file twice"),
        (_set("files", 0, "bytes", to=-1), "is -1, not within"),
        (_set("files", 0, "sha256", to="AB"), "not 64 hexadecimal digits"),
        (_set("files", to={}), "must be a list"),
        (_set("versions", to={"torch": 2}), "must map names to strings"),
        (_set("sampling", "top_p", to=1.5), "is 1.5, not within 0 to 1"),
    ],
)  # fmt: skip
def test_departures_are_refused(
    tmp_path: Path, change: Callable[[Any], None], problem: str
) -> None:
    manifest.write(tmp_path, _example(tmp_path))
    path = tmp_path / manifest.FILE_NAME
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError, match=problem):
        manifest.read(tmp_path)


_MEBIBYTE = 1 << 20


def _with_sections(folder: Path) -> Any:
    """A document whose first file has three sections, the last one of one byte."""
    document = json.loads(manifest.to_bytes(_example(folder)))
    document["files"][0].update(
        bytes=2 * _MEBIBYTE + 1, sections={"bytes": _MEBIBYTE, "sha256": ["0" * 64] * 3}
    )
    return document


def test_sections_round_trip(tmp_path: Path) -> None:
    document = _with_sections(tmp_path)
    read = manifest.from_document(document, tmp_path)
    assert read.files[0].sections == sha256.Sections(bytes=_MEBIBYTE, sha256=("0" * 64,) * 3)
    assert read.files[1].sections is None
    assert json.loads(manifest.to_bytes(read)) == document


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_set("bytes", to=2 * _MEBIBYTE), "3 digests, but 2097152 bytes are 2 sections"),
        (_set("bytes", to=0), "3 digests, but 0 bytes are 0 sections"),
        (_set("sections", to=None), "'sections' of an entry of 'files' must be an object"),
        (_set("sections", "bytes", to=_MEBIBYTE // 2), "is 524288, not within 1048576 to"),
        (_set("sections", "bytes", to=1 << 31), "is 2147483648, not within 1048576 to 1073741824"),
        (_set("sections", "bytes", to=3 * _MEBIBYTE), "is 3145728, not a power of two"),
        (_set("sections", "bytes", to=True), "must be an integer"),
        (_set("sections", "bytes", to=2 * _MEBIBYTE), "3 digests, but 2097153 bytes are 2 sect"),
        (_set("sections", "sha256", to=[]), "has 0 digests, but 2097153 bytes are 3 sections"),
        (_set("sections", "sha256", 1, to="A" * 64), "entry that is not 64 hexadecimal digits"),
        (_set("sections", "sha256", 2, to=7), "entry that is not 64 hexadecimal digits"),
        (_set("sections", "sha256", to="0" * 64), "'sha256' of 'sections' of model.pte must be a"),
        (_drop("sections", "sha256"), "'sections' of model.pte has no 'sha256'"),
        (_drop("sections", "bytes"), "'sections' of model.pte has no 'bytes'"),
        (_set("sections", "surprise", to=1), "'sections' of model.pte has unknown keys"),
    ],
)  # fmt: skip
def test_wrong_sections_are_refused(
    tmp_path: Path, change: Callable[[Any], None], problem: str
) -> None:
    document = _with_sections(tmp_path)
    change(document["files"][0])
    with pytest.raises(FormatError, match=problem):
        manifest.from_document(document, tmp_path)


def test_sections_of_files_are_checked(tmp_path: Path) -> None:
    example = _example(tmp_path)
    digest = sha256.SectionDigest(_MEBIBYTE)
    digest.update(b"program")
    files = [dataclasses.replace(e, sections=digest.sections) for e in example.files]
    right = (example.files[0], files[1])
    manifest.check_files(tmp_path, dataclasses.replace(example, files=right))
    with pytest.raises(FormatError, match=r"tokenizer\.bin: bytes 0 to 6 have sha256"):
        manifest.check_files(tmp_path, dataclasses.replace(example, files=tuple(files)))


def test_no_tokenizer_and_no_stop_ids(tmp_path: Path) -> None:
    example = _example(tmp_path)
    document = json.loads(manifest.to_bytes(example))
    document["tokenizer"]["stop_ids"] = []
    document["tokenizer"]["chat_template"] = None
    entry = manifest.from_document(document, tmp_path).tokenizer
    assert entry is not None
    assert (entry.stop_ids, entry.chat_template) == ((), None)
    document["tokenizer"] = None
    assert manifest.from_document(document, tmp_path).tokenizer is None


def test_what_cannot_be_read_back_is_not_written(tmp_path: Path) -> None:
    example = _example(tmp_path)
    broken = manifest.Manifest(**{**vars(example), "max_prefill_chunk": 5000})
    with pytest.raises(FormatError, match="5000"):
        manifest.write(tmp_path, broken)
    assert not (tmp_path / manifest.FILE_NAME).exists()


def test_files_are_checked(tmp_path: Path) -> None:
    example = _example(tmp_path)
    manifest.write(tmp_path, example)
    (tmp_path / "model.pte").write_bytes(b"pr0gram")
    with pytest.raises(FormatError, match="was promised"):
        manifest.check_files(tmp_path, example)
    (tmp_path / "model.pte").unlink()
    with pytest.raises(FormatError, match="not a file of the folder"):
        manifest.check_files(tmp_path, example)
    (tmp_path / "model.pte").write_bytes(b"program")
    (tmp_path / "extra").write_bytes(b"")
    with pytest.raises(FormatError, match="extra: is not in the manifest"):
        manifest.check_files(tmp_path, example)
