"""Downloads a locked checkpoint and proves every byte of it.

A file that broke off goes on where it stopped; one with wrong bytes is removed. The folder gets its
name only when all of its files are what the lock promises; until then NAME.partial keeps them for
the next try.
"""

import shutil
from pathlib import Path

import huggingface_hub
import tqdm

from python.artifact import atomic_write, sha256
from python.console import sizes
from python.console.errors import FormatError, UserError
from python.console.progress import Progress
from third_party.checkpoints.hub_errors import as_user_errors
from third_party.checkpoints.lock_file import Lock, LockedFile

_TRIES = 5
_CACHE = ".cache"  # huggingface_hub keeps unfinished downloads there


def fetch(lock: Lock, output: Path, progress: str = "auto", endpoint: str | None = None) -> None:
    """Makes `output` hold the locked files. Raises UserError; what came is kept to resume."""
    if output.exists():
        _check_folder(lock, output, progress)
        return
    partial_folder = atomic_write.partial_path(output)
    atomic_write.require_free_space(output, _missing_bytes(lock, partial_folder))
    with atomic_write.atomic_folder(
        output, marker=lock.files[0].name, resume=True, keep_partial=True
    ) as partial:
        total = sum(file.bytes for file in lock.files)
        with Progress("fetch", total=len(lock.files), total_bytes=total, mode=progress) as bar:
            for file in lock.files:
                if _is_whole(partial / file.name, file):
                    bar.skip(items=1, bytes_done=file.bytes)
                    continue
                _fetch_file(lock, file, partial, endpoint, bar)
                bar.advance(file.name)
        shutil.rmtree(partial / _CACHE, ignore_errors=True)


def _fetch_file(
    lock: Lock, file: LockedFile, folder: Path, endpoint: str | None, bar: Progress
) -> None:
    """Downloads one file and checks it; wrong bytes are removed, so that they are not resumed."""
    path = folder / file.name
    path.unlink(missing_ok=True)
    with as_user_errors(lock.repository):
        for left in reversed(range(_TRIES)):
            try:
                huggingface_hub.hf_hub_download(
                    lock.repository,
                    file.name,
                    revision=lock.revision,
                    local_dir=folder,
                    endpoint=endpoint,
                    tqdm_class=_counter(bar),
                )
                break
            except OSError as error:
                # The client says so when fewer bytes came than were promised; it goes on there.
                if left == 0 or "Consistency check failed" not in str(error):
                    raise
    try:
        sha256.check_file(path, file.bytes, file.sha256)
    except FormatError as error:
        path.unlink()
        shutil.rmtree(folder / _CACHE, ignore_errors=True)
        raise UserError(f"{error}; what the hub sent was removed") from None


def _counter(bar: Progress) -> type[tqdm.tqdm]:
    """The client's own progress bar, replaced by ours."""

    class Counter(tqdm.tqdm):  # type: ignore[misc]  # tqdm has no types
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, count: float | None = 1) -> None:
            bar.advance(items=0, bytes_done=int(count or 0))

    return Counter


def _is_whole(path: Path, file: LockedFile) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == file.bytes
        and sha256.sha256_of_file(path) == file.sha256
    )


def _missing_bytes(lock: Lock, partial: Path) -> int:
    missing = 0
    for file in lock.files:
        path = partial / file.name
        missing += file.bytes - (min(file.bytes, path.stat().st_size) if path.is_file() else 0)
    return missing


def _check_folder(lock: Lock, folder: Path, progress: str) -> None:
    """An existing folder must hold the locked files, whole; more files are no harm."""
    total = sum(file.bytes for file in lock.files)
    with Progress("check", total=len(lock.files), total_bytes=total, mode=progress) as bar:
        for file in lock.files:
            path = folder / file.name
            if not path.is_file():
                raise UserError(
                    f"{folder} exists and lacks {file.name} ({sizes.format_bytes(file.bytes)}); "
                    "name another folder, or remove it to fetch everything"
                )
            sha256.check_file(
                path, file.bytes, file.sha256, lambda size: bar.advance(items=0, bytes_done=size)
            )
            bar.advance(file.name)
