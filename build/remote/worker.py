"""A worker of a remote-execution service, to try this repository's remote builds on one machine.

It takes actions by the Remote Workers API, which BuildGrid's server speaks, runs each in an empty folder that holds
the action's inputs and nothing else, and uploads the declared outputs. Inputs are kept by digest in FOLDER/blobs and
hard-linked, so that the thousands of files of a Python environment are fetched once. Not a sandbox: an action sees the
machine's other files, so use it with your own builds only. docs/remote_execution.md says how to start it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2 as execution
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2_grpc as services
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2, bots_pb2_grpc
from buildgrid.server.client.cas import download, upload

_OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
]
_START_SECONDS = 60  # until the service must answer
_POLL_SECONDS = 30
_BATCH_BYTES = 2 << 20  # of one BatchReadBlobs; larger blobs come as a stream
_BATCH_BLOBS = 500


class Blobs:
    """Files of the service's store, kept in a folder by digest and linked from there."""

    def __init__(self, channel: grpc.Channel, folder: Path) -> None:
        self._channel = channel
        self._folder = folder
        self._store = services.ContentAddressableStorageStub(channel)
        folder.mkdir(parents=True, exist_ok=True)

    def place(self, root_digest: Any, root: Path) -> None:
        """Builds the folder that a digest names. Raises OSError or grpc.RpcError."""
        directories = self._directories(root_digest)
        wanted = {
            node.digest.hash: node.digest for found in directories.values() for node in found.files
        }
        self._fetch(
            [digest for digest in wanted.values() if not self._path(digest, False).exists()]
        )
        self._link(directories, root_digest.hash, root)

    def _directories(self, root_digest: Any) -> dict[str, Any]:
        """Every directory below the root, by the hash of its message."""
        found: dict[str, Any] = {}
        waiting = [root_digest]
        while waiting:
            asked, waiting = waiting[:_BATCH_BLOBS], waiting[_BATCH_BLOBS:]
            for digest, data in self._read(asked):
                found[digest.hash] = directory = execution.Directory.FromString(data)
                known = {entry.hash for entry in waiting} | found.keys()
                waiting += [
                    node.digest for node in directory.directories if node.digest.hash not in known
                ]
        return found

    def _fetch(self, digests: list[Any]) -> None:
        batch: list[Any] = []
        size = 0
        for digest in digests:
            if digest.size_bytes > _BATCH_BYTES:
                with download(self._channel) as source:
                    source.download_file(digest, str(self._partial(digest)))
                self._keep(digest)
                continue
            if size + digest.size_bytes > _BATCH_BYTES or len(batch) == _BATCH_BLOBS:
                self._fetch_batch(batch)
                batch, size = [], 0
            batch.append(digest)
            size += digest.size_bytes
        self._fetch_batch(batch)

    def _fetch_batch(self, digests: list[Any]) -> None:
        for digest, data in self._read(digests):
            self._partial(digest).write_bytes(data)
            self._keep(digest)

    def _read(self, digests: list[Any]) -> Iterator[tuple[Any, bytes]]:
        if not digests:
            return
        answer = self._store.BatchReadBlobs(execution.BatchReadBlobsRequest(digests=digests))
        for response in answer.responses:
            if response.status.code != grpc.StatusCode.OK.value[0]:
                raise OSError(f"blob {response.digest.hash}: {response.status.message}")
            yield response.digest, response.data

    def _keep(self, digest: Any) -> None:
        """One copy to read and one to execute: links share their mode."""
        partial = self._partial(digest)
        partial.chmod(0o444)
        executable = self._path(digest, True)
        if not executable.exists():
            executable.write_bytes(partial.read_bytes())
            executable.chmod(0o555)
        partial.rename(self._path(digest, False))

    def _path(self, digest: Any, executable: bool) -> Path:
        return self._folder / (digest.hash + (".x" if executable else ""))

    def _partial(self, digest: Any) -> Path:
        return self._folder / f"{digest.hash}.partial"

    def _link(self, directories: dict[str, Any], hash_: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        for node in directories[hash_].files:
            os.link(self._path(node.digest, node.is_executable), folder / node.name)
        for node in directories[hash_].symlinks:
            os.symlink(node.target, folder / node.name)
        for node in directories[hash_].directories:
            self._link(directories, node.digest.hash, folder / node.name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--service", default="127.0.0.1:50051", help="host:port of the service")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where actions run and inputs are kept"
    )
    parser.add_argument("--actions", type=int, default=1, help="at the same time")
    flags = parser.parse_args()
    flags.folder.mkdir(parents=True, exist_ok=True)
    channel = grpc.insecure_channel(flags.service, options=_OPTIONS)
    try:
        grpc.channel_ready_future(channel).result(_START_SECONDS)
    except grpc.FutureTimeoutError:
        sys.exit(
            f"worker.py: nothing answers at {flags.service} within {_START_SECONDS} s "
            "(start the service, or name another with --service)"
        )
    with ThreadPoolExecutor(flags.actions) as pool:
        names = [f"worker-{os.getpid()}-{number}" for number in range(flags.actions)]
        for end in [pool.submit(_serve, channel, flags.folder, name) for name in names]:
            end.result()


def _serve(channel: grpc.Channel, folder: Path, bot_id: str) -> None:
    """One bot: takes a lease, runs it, reports it, for ever."""
    blobs = Blobs(channel, folder / "blobs")
    stub = bots_pb2_grpc.BotsStub(channel)
    session = bots_pb2.BotSession(bot_id=bot_id, status=bots_pb2.BotStatus.OK)
    session.worker.devices.add(handle=bot_id)
    session = stub.CreateBotSession(
        bots_pb2.CreateBotSessionRequest(parent="", bot_session=session), wait_for_ready=True
    )
    while True:
        for lease in session.leases:
            if lease.state == bots_pb2.LeaseState.PENDING:
                lease.state = bots_pb2.LeaseState.ACTIVE
            elif lease.state == bots_pb2.LeaseState.ACTIVE:
                _complete(channel, blobs, folder, lease)
        request = bots_pb2.UpdateBotSessionRequest(name=session.name, bot_session=session)
        session = stub.UpdateBotSession(request, timeout=_POLL_SECONDS)


def _complete(channel: grpc.Channel, blobs: Blobs, folder: Path, lease: Any) -> None:
    """Runs the lease's action and writes its result, or why there is none, into the lease."""
    try:
        lease.result.Pack(_run(channel, blobs, folder, _action(channel, lease.payload)))
        lease.status.code = grpc.StatusCode.OK.value[0]
    except (OSError, subprocess.TimeoutExpired, grpc.RpcError) as error:
        print(f"{lease.id}: {error}", flush=True)
        lease.status.code = grpc.StatusCode.INTERNAL.value[0]
        lease.status.message = str(error)
    lease.state = bots_pb2.LeaseState.COMPLETED


def _action(channel: grpc.Channel, payload: Any) -> Any:
    action = execution.Action()
    if not payload.Unpack(action):
        digest = execution.Digest()
        payload.Unpack(digest)
        with download(channel) as source:
            source.get_message(digest, action)
    return action


def _run(channel: grpc.Channel, blobs: Blobs, folder: Path, action: Any) -> Any:
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as made:
        root = Path(made) / "root"
        command = execution.Command()
        with download(channel) as source:
            source.get_message(action.command_digest, command)
        blobs.place(action.input_root_digest, root)
        outputs = command.output_paths or [*command.output_files, *command.output_directories]
        here = root / command.working_directory
        for output in outputs:
            (here / output).parent.mkdir(parents=True, exist_ok=True)
        print(f"running {' '.join(command.arguments)[:100]}", flush=True)
        done = subprocess.run(
            list(command.arguments),
            cwd=here,
            env={entry.name: entry.value for entry in command.environment_variables},
            capture_output=True,
            check=False,
            timeout=action.timeout.seconds or None,
        )
        print(f"exit {done.returncode}", flush=True)
        result = execution.ActionResult(
            exit_code=done.returncode,
            stdout_raw=done.stdout[-_BATCH_BYTES:],
            stderr_raw=done.stderr[-_BATCH_BYTES:],
        )
        with upload(channel) as target:
            for output in outputs:
                _add_output(target, here, output, result)
        return result


def _add_output(target: Any, here: Path, output: str, result: Any) -> None:
    path = here / output
    if path.is_symlink():
        result.output_symlinks.add(path=output, target=os.readlink(path))
    elif path.is_dir():
        digest = target.upload_tree(str(path), queue=False)
        result.output_directories.add(path=output, tree_digest=digest)
    elif path.is_file():
        digest = target.upload_file(str(path), queue=False)
        result.output_files.add(path=output, digest=digest, is_executable=os.access(path, os.X_OK))


if __name__ == "__main__":
    main()
