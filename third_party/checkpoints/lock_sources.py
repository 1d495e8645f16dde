"""Where a lock comes from: a local copy, every byte of which is read, or the hub's own records."""

import tempfile
from pathlib import Path

import huggingface_hub

from python.artifact import sha256
from python.console.errors import UserError
from python.console.progress import Progress
from third_party.checkpoints import lock_file
from third_party.checkpoints.hub_errors import as_user_errors
from third_party.checkpoints.lock_file import Lock, LockedFile


def lock_of_folder(
    folder: Path,
    repository: str,
    revision: str,
    progress: str = "auto",
    gguf: str | None = None,
) -> Lock:
    """The lock of a local copy, from its bytes; `gguf` as of `lock_file.wanted`. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    paths = sorted(
        path for path in folder.iterdir() if path.is_file() and lock_file.wanted(path.name, gguf)
    )
    _check_found(len(paths), folder, gguf)
    sizes = {path: path.stat().st_size for path in paths}
    files = []
    with Progress(
        "digest", total=len(paths), total_bytes=sum(sizes.values()), mode=progress
    ) as bar:
        for path in paths:
            digest = sha256.sha256_of_file(path, lambda size: bar.advance(items=0, bytes_done=size))
            bar.advance(path.name)
            files.append(LockedFile(name=path.name, bytes=sizes[path], sha256=digest))
    return lock_file.check(
        Lock(repository=repository, revision=revision, files=tuple(files)), folder
    )


def lock_of_hub(
    repository: str,
    revision: str | None,
    progress: str = "auto",
    endpoint: str | None = None,
    gguf: str | None = None,
) -> Lock:
    """The lock of the hub's files at a revision; `endpoint` None: HF_ENDPOINT, or the hub itself.

    gguf: as of `lock_file.wanted`.
    Raises UserError where the hub refuses or cannot be reached.
    """
    api = huggingface_hub.HfApi(endpoint=endpoint)
    with as_user_errors(repository):
        info = api.model_info(repository, revision=revision, files_metadata=True)
        siblings = [file for file in info.siblings or [] if lock_file.wanted(file.rfilename, gguf)]
        _check_found(len(siblings), repository, gguf)
        files = []
        with Progress("lock", total=len(siblings), mode=progress) as bar:
            for file in siblings:
                if file.lfs is not None:
                    locked = LockedFile(
                        name=file.rfilename, bytes=file.lfs.size, sha256=file.lfs.sha256
                    )
                else:
                    locked = _downloaded(api, repository, str(info.sha), file.rfilename)
                files.append(locked)
                bar.advance(file.rfilename)
    lock = Lock(repository=repository, revision=str(info.sha), files=tuple(files))
    return lock_file.check(lock, repository)


def _check_found(count: int, where: object, gguf: str | None) -> None:
    if gguf is not None and not count:
        raise UserError(f"{where} holds no file {gguf} (--gguf takes the name of a .gguf file)")


def _downloaded(
    api: huggingface_hub.HfApi, repository: str, revision: str, name: str
) -> LockedFile:
    """A small file, whose digest the hub does not tell."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(api.hf_hub_download(repository, name, revision=revision, local_dir=folder))
        size = path.stat().st_size
        return LockedFile(name=name, bytes=size, sha256=sha256.sha256_of_file(path))
