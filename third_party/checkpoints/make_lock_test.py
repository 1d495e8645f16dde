"""Tests of make_lock and lock_file, on a local folder and on a small server of the hub's API."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from python.console.errors import FormatError, UserError
from third_party.checkpoints import lock_file, lock_sources
from third_party.checkpoints.fake_hub import COMMIT, FakeHub

_REPOSITORY = "google/gemma-4-31B-it"
_FILES = {
    "config.json": b"{}",
    "model-00001-of-00002.safetensors": b"a" * 5000,
    "model-00002-of-00002.safetensors": b"b" * 3000,
    "model.safetensors.index.json": b'{"weight_map": {}}',
    "README.md": b"not locked",
    "figure.png": b"not locked",
}
_LOCKED = sorted(name for name in _FILES if name not in ("README.md", "figure.png"))


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name, data in _FILES.items():
        (folder / name).write_bytes(data)
    return folder


def _check(lock: lock_file.Lock) -> None:
    assert (lock.repository, lock.revision) == (_REPOSITORY, COMMIT)
    assert sorted(file.name for file in lock.files) == _LOCKED
    for file in lock.files:
        assert file.bytes == len(_FILES[file.name])
        assert file.sha256 == hashlib.sha256(_FILES[file.name]).hexdigest()


def test_from_a_local_folder(tmp_path: Path) -> None:
    lock = lock_sources.lock_of_folder(_folder(tmp_path), _REPOSITORY, COMMIT, progress="none")
    _check(lock)
    path = tmp_path / "x.lock.json"
    lock_file.write(path, lock)
    assert lock_file.read(path).files == tuple(sorted(lock.files, key=lambda file: file.name))
    first = path.read_bytes()
    lock_file.write(path, lock_file.read(path), overwrite=True)
    assert path.read_bytes() == first
    with pytest.raises(UserError, match="--overwrite"):
        lock_file.write(path, lock)


def test_from_the_hub() -> None:
    with FakeHub(_REPOSITORY, _FILES) as hub:
        _check(lock_sources.lock_of_hub(_REPOSITORY, None, "none", hub.endpoint))
        fetched = [path for method, path, _ in hub.requests if method == "GET"]
    assert not any(path.endswith(".safetensors") for path in fetched)


_GGUFS = {
    "model-Q4_0.gguf": b"q" * 3000,
    "model-Q8_0-00001-of-00002.gguf": b"a" * 2000,
    "model-Q8_0-00002-of-00002.gguf": b"b" * 2000,
    "config.json": b"{}",
}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("model-Q4_0.gguf", ["model-Q4_0.gguf"]),
        ("model-Q8_0-*.gguf", sorted(name for name in _GGUFS if "Q8_0" in name)),
    ],
)
def test_one_gguf_of_many(tmp_path: Path, pattern: str, names: list[str]) -> None:
    with FakeHub(_REPOSITORY, _GGUFS) as hub:
        lock = lock_sources.lock_of_hub(_REPOSITORY, None, "none", hub.endpoint, gguf=pattern)
    assert sorted(file.name for file in lock.files) == names
    lock_file.write(tmp_path / "x.lock.json", lock)
    assert lock_file.read(tmp_path / "x.lock.json") == lock
    for name, data in _GGUFS.items():
        (tmp_path / name).write_bytes(data)
    local = lock_sources.lock_of_folder(tmp_path, _REPOSITORY, COMMIT, "none", gguf=pattern)
    assert local == lock


def test_a_gguf_that_is_not_there() -> None:
    with (
        FakeHub(_REPOSITORY, _GGUFS) as hub,
        pytest.raises(UserError, match=r"holds no file other.gguf \(--gguf takes"),
    ):
        lock_sources.lock_of_hub(_REPOSITORY, None, "none", hub.endpoint, gguf="other.gguf")


def test_a_gated_repository_is_a_sentence() -> None:
    with (
        FakeHub(_REPOSITORY, _FILES, token="secret") as hub,
        pytest.raises(UserError, match=r"the hub did not give google/gemma-4-31B-it: .*HF_TOKEN"),
    ):
        lock_sources.lock_of_hub(_REPOSITORY, None, "none", hub.endpoint)


def test_nobody_at_the_other_end_is_a_sentence() -> None:
    with FakeHub(_REPOSITORY, _FILES) as hub:
        endpoint = hub.endpoint
    with pytest.raises(UserError, match="the hub did not give"):
        lock_sources.lock_of_hub(_REPOSITORY, None, "none", endpoint)


def test_the_command(tmp_path: Path) -> None:
    """The program itself, with HF_ENDPOINT and HF_TOKEN as a user sets them."""
    output = tmp_path / "gemma4_31b.lock.json"
    command = [sys.executable, "-m", "third_party.checkpoints.make_lock"]
    command += [f"--output={output}", "--progress=none"]
    with FakeHub(_REPOSITORY, _FILES, token="secret") as hub:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": "secret",
            "HF_HOME": str(tmp_path / "home"),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        _check(lock_file.read(output))
        again = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
    assert again.returncode == 1
    assert "exists; pass --overwrite" in again.stderr
    assert again.stderr.count("\n") == 1


def test_a_missing_lock_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        lock_file.read(tmp_path / "gemma4_31b.lock.json")
    sentence = str(error.value)
    assert sentence.startswith("checkpoint gemma4_31b has no lock")
    assert "./bazelw run //third_party/checkpoints:make_lock -- --checkpoint gemma4_31b" in sentence
    assert "\n" not in sentence


_ENTRY = {"name": "config.json", "bytes": 2, "sha256": "0" * 64}
_WEIGHTS = {"name": "model.safetensors", "bytes": 2, "sha256": "1" * 64}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format_version": 2}, "'format_version' of the lock is 2"),
        ({"revision": "main"}, "revision 'main' is not a commit"),
        ({"repository": "../x"}, "is not OWNER/NAME"),
        ({"repository": "gemma"}, "is not OWNER/NAME"),
        ({"files": []}, "names no config.json"),
        ({"files": [_ENTRY]}, "names no .safetensors file"),
        ({"files": [_ENTRY, _WEIGHTS, {**_ENTRY, "name": "x.gguf"}]}, "names a GGUF file beside"),
        ({"files": [_ENTRY, _WEIGHTS, _ENTRY]}, "names a file twice"),
        ({"files": [{**_ENTRY, "name": "../../x.safetensors"}]}, "is no file of a checkpoint"),
        ({"files": [{**_ENTRY, "name": "evil.py"}]}, "is no file of a checkpoint"),
        ({"files": [{**_ENTRY, "sha256": "0"}]}, "not 64 hexadecimal digits"),
        ({"files": [{**_ENTRY, "bytes": -1}]}, "is -1, not within"),
        ({"more": 1}, "unknown keys: 'more'"),
    ],
)
def test_bad_locks(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    path = tmp_path / "x.lock.json"
    good = {
        "format_version": 1,
        "repository": _REPOSITORY,
        "revision": COMMIT,
        "files": [_ENTRY, _WEIGHTS],
    }
    path.write_text(json.dumps(good))
    assert len(lock_file.read(path).files) == 2
    path.write_text(json.dumps({**good, **changes}))
    with pytest.raises(FormatError, match=problem):
        lock_file.read(path)


def test_what_is_no_checkpoint_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        lock_sources.lock_of_folder(tmp_path / "no", _REPOSITORY, COMMIT, progress="none")
    with pytest.raises(FormatError, match=r"names no config.json"):
        lock_sources.lock_of_folder(tmp_path, _REPOSITORY, COMMIT, progress="none")
