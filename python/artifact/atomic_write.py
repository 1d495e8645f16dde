"""Files and folders that appear whole or not at all.

What is being written lies beside its destination under the name NAME.partial, locked by its writer,
and is renamed when every byte of it is on the disk. A kill at any moment leaves the old state or
the new one, and at worst a NAME.partial, which the next writer of NAME continues (`resume`) or
removes.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from python.console import sizes
from python.console.errors import UserError

PARTIAL = ".partial"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_OUR_FAULT = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
)  # fmt: skip


def partial_path(path: Path) -> Path:
    """Where the unfinished form of `path` lies."""
    return path.with_name(path.name + PARTIAL)


def require_free_space(path: Path, needed: int) -> None:
    """Raises UserError unless the file system that will hold `path` has `needed` bytes free."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{path}: needs {sizes.format_bytes(needed)} of disk space, "
            f"{sizes.format_bytes(free)} are free"
        )


@contextlib.contextmanager
def atomic_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """A binary file to write; it becomes `path` when the block ends without an exception.

    Raises UserError if `path` exists and `overwrite` is false, if another process writes it, or if
    the disk refuses.
    """
    _refuse_existing(path, overwrite)
    partial = partial_path(path)
    with _as_user_errors(path), _locked(partial, os.O_RDWR | os.O_CREAT) as descriptor:
        try:
            with open(descriptor, "r+b", closefd=False) as file:
                file.truncate(0)
                yield file
                file.flush()
                os.fsync(descriptor)
            _refuse_existing(path, overwrite)
            os.rename(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_file(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Writes `data` as the whole of `path`, atomically."""
    with atomic_file(path, overwrite=overwrite) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_folder(
    path: Path,
    *,
    marker: str,
    overwrite: bool = False,
    resume: bool = False,
    keep_partial: bool = False,
) -> Iterator[Path]:
    """A folder to fill; it becomes `path` when the block ends without an exception.

    `marker` is a file that every finished folder of this kind holds: `overwrite` replaces only a
    folder with it, so that a mistyped path never costs a user's files. `resume` keeps what an
    earlier, stopped writer left in the partial folder; `keep_partial` leaves it there when this one
    stops.
    """
    _refuse_existing(path, overwrite, marker)
    partial = partial_path(path)
    with _as_user_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(exist_ok=True)
        with _locked(partial, os.O_RDONLY | os.O_DIRECTORY):
            try:
                if not resume:
                    _empty(partial)
                yield partial
                if not (partial / marker).is_file():
                    raise ValueError(f"{partial} was finished without its {marker}")
                _sync_tree(partial)
                _refuse_existing(path, overwrite, marker)
                _replace_folder(partial, path)
            except BaseException:
                if not keep_partial:
                    shutil.rmtree(partial, ignore_errors=True)
                raise
            _sync_folder(path.parent)


def _refuse_existing(path: Path, overwrite: bool, marker: str | None = None) -> None:
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise UserError(f"{path} exists; pass --overwrite to replace it or name another place")
    if marker is None:
        if not path.is_file():
            raise UserError(f"{path} is not a file, so it is not replaced")
    elif not path.is_dir() or path.is_symlink():
        raise UserError(f"{path} is not a folder, so it is not replaced")
    elif any(path.iterdir()) and not (path / marker).is_file():
        raise UserError(
            f"{path} holds files but no {marker}, so it is not replaced; name another place"
        )


@contextlib.contextmanager
def _as_user_errors(path: Path) -> Iterator[None]:
    """Turns the disk's refusals into sentences; errors that name another file than ours keep their
    name.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_OUR_FAULT:
            raise
        named = (
            os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(path)
        )
        free = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = (
                f" ({sizes.format_bytes(shutil.disk_usage(path.absolute().parent).free)} are free)"
            )
        raise UserError(
            f"{named}: {os.strerror(error.errno)}{free}; nothing was left at {path}"
        ) from error


@contextlib.contextmanager
def _locked(partial: Path, mode: int) -> Iterator[int]:
    """Opens `partial` and holds its lock; refuses if another process holds it."""
    descriptor = os.open(partial, mode | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{partial} is being written by another process; wait for it or name another place"
            ) from None
        # Whoever held the lock before us may have renamed or removed what we opened.
        if not partial.exists() or os.stat(partial).st_ino != os.fstat(descriptor).st_ino:
            raise UserError(f"{partial} was just finished by another process")
        yield descriptor
    finally:
        os.close(descriptor)


def _replace_folder(new: Path, path: Path) -> None:
    """Renames `new` to `path`; an old `path` is exchanged for it in one step, then removed."""
    if not path.exists():
        os.rename(new, path)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if (
        libc.renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE)
        == 0
    ):
        shutil.rmtree(new)
        return
    # Not every file system can exchange two names. Then there is a moment without `path`, but the
    # old one is whole.
    old = path.with_name(path.name + ".replaced")
    os.rename(path, old)
    os.rename(new, path)
    shutil.rmtree(old)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(
                os.path.join(root, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            )
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _sync_folder(Path(root))
