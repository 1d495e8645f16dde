"""Counts what Bazel fetches of a locked checkpoint: all once, then one file for one changed shard.

    ./bazelw run //third_party/checkpoints:count_fetches

A small hub on this machine serves a checkpoint of three shards, whose bytes are new in each run, so
that no cache has seen them. Its lock lies in this folder meanwhile, which must not have one of its
own.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from python.console import main
from python.console.errors import UserError
from third_party.checkpoints import lock_file
from third_party.checkpoints.fake_hub import COMMIT, FakeHub
from third_party.checkpoints.lock_file import Lock, LockedFile

_CHECKPOINT = "gemma4_31b"
_REPOSITORY = lock_file.REPOSITORIES[_CHECKPOINT]
_SHARD = "model-0000{}-of-00003.safetensors"


def _new_files() -> dict[str, bytes]:
    run = os.urandom(16)
    shards = {_SHARD.format(number): run + bytes([number]) * 100_000 for number in (1, 2, 3)}
    return {"config.json": b'{"run": "' + run.hex().encode() + b'"}', **shards}


def _lock(files: Mapping[str, bytes], revision: str) -> Lock:
    locked = tuple(
        LockedFile(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    )
    return Lock(repository=_REPOSITORY, revision=revision, files=locked)


@contextmanager
def _lent(path: Path) -> Iterator[Path]:
    """The name of a lock that is not there before, nor afterwards."""
    if path.exists():
        raise UserError(f"{path} exists; move it away meanwhile")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _fetched(hub: FakeHub, workspace: Path) -> list[str]:
    """The names of the files that a build of the checkpoint asks the hub for."""
    hub.requests.clear()
    target = f"@{_CHECKPOINT}//:checkpoint"
    command = ["./bazelw", "build", "--noshow_progress", f"--repo_env=HF_ENDPOINT={hub.endpoint}"]
    done = subprocess.run(
        [*command, target], cwd=workspace, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"bazel failed: {done.stderr.strip().splitlines()[-1:]}")
    return sorted(path.rsplit("/", 1)[-1] for _, path, _ in hub.requests)


def _expect(when: str, found: list[str], expected: list[str]) -> None:
    print(f"{when}: {len(found)} requests ({', '.join(found) or 'none'})", flush=True)
    if found != expected:
        raise UserError(f"{when}: {len(found)} requests, {len(expected)} were expected")


def program() -> None:
    workspace = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"])
    own = workspace / "third_party/checkpoints" / f"{_CHECKPOINT}{lock_file.SUFFIX}"
    files = _new_files()
    with _lent(own), FakeHub(_REPOSITORY, files) as hub:
        lock_file.write(own, _lock(files, COMMIT))
        _expect("first build", _fetched(hub, workspace), sorted(files))
        _expect("the same lock", _fetched(hub, workspace), [])
        changed = _SHARD.format(2)
        files[changed] = hub.files[changed] = files[changed][::-1]
        lock_file.write(own, _lock(files, COMMIT[::-1]), overwrite=True)
        _expect("one shard and the revision changed", _fetched(hub, workspace), [changed])


if __name__ == "__main__":
    main.run(program)
