"""Tests of hub_download on a small server of the hub's API: cut connections, wrong bytes, resuming."""

import hashlib
from pathlib import Path

import huggingface_hub
import pytest

from python.console.errors import FormatError, UserError
from third_party.checkpoints import hub_download
from third_party.checkpoints.fake_hub import COMMIT, FakeHub
from third_party.checkpoints.lock_file import Lock, LockedFile

_REPOSITORY = "google/gemma-4-31B-it"
_LARGE = bytes(range(256)) * 4000
_FILES = {"config.json": b"{}", "model.safetensors": _LARGE, "README.md": b"not locked"}


def _lock(files: dict[str, bytes] = _FILES) -> Lock:
    locked = [
        LockedFile(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
        if name != "README.md"
    ]
    return Lock(repository=_REPOSITORY, revision=COMMIT, files=tuple(locked))


def _whole(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return names == {"config.json", "model.safetensors"} and all(
        (folder / name).read_bytes() == _FILES[name] for name in names
    )


def _fetch(hub: FakeHub, output: Path, lock: Lock | None = None) -> None:
    hub_download.fetch(lock or _lock(), output, "none", hub.endpoint)


def test_what_is_locked_is_fetched(tmp_path: Path) -> None:
    with FakeHub(_REPOSITORY, _FILES) as hub:
        _fetch(hub, tmp_path / "out")
        assert _whole(tmp_path / "out")
        count = len(hub.requests)
        _fetch(hub, tmp_path / "out")  # an existing folder is checked, not fetched
        assert len(hub.requests) == count
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_gguf_is_fetched(tmp_path: Path) -> None:
    files = {"model.gguf": _LARGE}
    with FakeHub(_REPOSITORY, files) as hub:
        _fetch(hub, tmp_path / "out", _lock(files))
    assert (tmp_path / "out" / "model.gguf").read_bytes() == _LARGE


def test_a_cut_connection_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client loses a chunk that it had not read to the end.
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    with FakeHub(_REPOSITORY, _FILES) as hub:
        hub.cut_after["model.safetensors"] = [300_000, 200_000]
        _fetch(hub, tmp_path / "out")
        ranges = [
            r for method, path, r in hub.requests if method == "GET" and "model" in path and r
        ]
    assert _whole(tmp_path / "out")
    assert ranges, "nothing was resumed"
    assert all(not r.startswith("bytes=0-") for r in ranges)


def test_given_up_and_run_again(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with FakeHub(_REPOSITORY, _FILES) as hub:
        hub.cut_after["model.safetensors"] = [1000] * 200
        with pytest.raises(UserError, match=r"the hub did not give|model.safetensors"):
            _fetch(hub, output)
        assert not output.exists()
        assert (tmp_path / "out.partial" / "config.json").read_bytes() == b"{}"
        hub.cut_after.clear()
        hub.requests.clear()
        _fetch(hub, output)
        assert not any("config.json" in path for _, path, _ in hub.requests)
    assert _whole(output)


@pytest.mark.parametrize("wrong", [_LARGE[:-1] + b"x", _LARGE[:-1], _LARGE + b"x"])
def test_wrong_bytes_are_refused_and_removed(tmp_path: Path, wrong: bytes) -> None:
    output = tmp_path / "out"
    with FakeHub(_REPOSITORY, {**_FILES, "model.safetensors": wrong}) as hub:
        with pytest.raises(UserError, match=r"promised; .*what the hub sent was removed"):
            _fetch(hub, output)
        assert not output.exists()
        assert not (tmp_path / "out.partial" / "model.safetensors").exists()
        hub.files["model.safetensors"] = _LARGE
        _fetch(hub, output)
    assert _whole(output)


def test_an_existing_folder_is_never_touched(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "config.json").write_bytes(b"{}")
    with FakeHub(_REPOSITORY, _FILES) as hub:
        with pytest.raises(UserError, match=r"out exists and lacks model.safetensors"):
            _fetch(hub, output)
        (output / "model.safetensors").write_bytes(_LARGE[::-1])
        with pytest.raises(FormatError, match="was promised"):
            _fetch(hub, output)
    assert (output / "model.safetensors").read_bytes() == _LARGE[::-1]


def test_a_token_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub(_REPOSITORY, _FILES, token="secret") as hub:
        with pytest.raises(UserError, match="HF_TOKEN"):
            _fetch(hub, tmp_path / "out")
        monkeypatch.setenv("HF_TOKEN", "secret")
        _fetch(hub, tmp_path / "out")
    assert _whole(tmp_path / "out")
