"""Files and folders that appear whole or not at all.

What is being written lies beside its destination under the name NAME.partial, locked by its writer,
and is renamed when every byte of it is on the disk. A kill at any moment leaves the old state or
the new one, and at worst a NAME.partial, which the next writer of NAME continues (`resume`) or
removes, and then says so. A partial folder holds the file `.unfinished`, so that a folder of the
user's own that happens to have such a name is never emptied.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from python.console import machine, sizes
from python.console.errors import UserError

PARTIAL = ".partial"
_UNFINISHED = ".unfinished"  # in a partial folder until it is renamed
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_OUR_FAULT = (
    *_FULL, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
)  # fmt: skip


def partial_path(path: Path) -> Path:
    """Where the unfinished form of `path` lies."""
    return path.with_name(path.name + PARTIAL)


def require_folder(path: Path) -> None:
    """Raises UserError unless the folder that will hold the file `path` exists."""
    if not path.parent.is_dir():
        raise UserError(
            f"{path}: there is no folder {path.parent} (make it, or name another place)"
        )


def require_free_space(path: Path, needed: int) -> None:
    """Raises UserError unless the file system that will hold `path` has `needed` bytes free."""
    free = machine.free_disk(path)
    if free < needed:
        raise UserError(
            f"{path}: needs {sizes.format_bytes(needed)} of disk space, "
            f"{sizes.format_bytes(free)} are free (make room, or name another place)"
        )


@contextlib.contextmanager
def disk_space(folder: Path, needed: int) -> Iterator[None]:
    """For writing `folder` until it holds `needed` bytes; what lies there already counts.

    Raises UserError where the rest is not free, and where the disk becomes full all the same,
    because others write there too.
    """
    require_free_space(folder, needed - _bytes_in(folder))
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise UserError(
            f"{folder}: {os.strerror(error.errno or 0)}: {sizes.format_bytes(needed)} are needed, "
            f"{sizes.format_bytes(_bytes_in(folder))} of it were written, "
            f"{sizes.format_bytes(machine.free_disk(folder))} are free "
            "(make room, or name another place)"
        ) from error


@contextlib.contextmanager
def atomic_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """A binary file to write; it becomes `path` when the block ends without an exception.

    Raises UserError if `path` exists and `overwrite` is false, if another process writes it, or if
    the disk refuses.
    """
    require_folder(path)
    _refuse_existing(path, overwrite)
    partial = partial_path(path)
    with (
        _as_user_errors(path),
        _left_as_found(partial),
        _locked(partial, os.O_RDWR | os.O_CREAT) as descriptor,
    ):
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
    note: Callable[[str], None] | None = None,
) -> Iterator[Path]:
    """A folder to fill; it becomes `path` when the block ends without an exception.

    `marker` is a file that every finished folder of this kind holds: `overwrite` replaces only a
    folder with it, so that a mistyped path never costs a user's files. `resume` keeps what an
    earlier, stopped writer left in the partial folder; `keep_partial` leaves it there when this one
    stops. What is removed of a killed writer's is told to `note`.

    Raises UserError if `path` exists and `overwrite` is false, if another process writes it, if
    files that no writer left lie in its way, or if the disk refuses.
    """
    _refuse_existing(path, overwrite, marker)
    partial = partial_path(path)
    with _as_user_errors(path), _left_as_found(partial):
        _make_folder(path.parent)
        _make_folder(partial)
        with _locked(partial, os.O_RDONLY | os.O_DIRECTORY):
            if not resume:
                _remove_leftover(partial, marker, note)
            try:
                (partial / _UNFINISHED).touch()
                yield partial
                if not (partial / marker).is_file():
                    raise ValueError(f"{partial} was finished without its {marker}")
                (partial / _UNFINISHED).unlink(missing_ok=True)
                _sync_tree(partial)
                _refuse_existing(path, overwrite, marker)
                _replace_folder(partial, path)
            except BaseException:
                if not keep_partial or not _bytes_in(partial):
                    with contextlib.suppress(OSError):
                        _empty(partial)
                        partial.rmdir()
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
    """Turns the disk's refusals into sentences; errors that name another file keep their name."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_OUR_FAULT:
            raise
        named = (
            os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(path)
        )
        free = ""
        if error.errno in _FULL:
            free = f" ({sizes.format_bytes(machine.free_disk(path))} are free; make room)"
        raise UserError(
            f"{named}: {os.strerror(error.errno)}{free}; {path} is as it was before"
        ) from error


@contextlib.contextmanager
def _left_as_found(partial: Path) -> Iterator[None]:
    """Ctrl-C before the writer can clean up after itself: a `partial` that is new and empty goes."""
    is_new = not os.path.lexists(partial)
    try:
        yield
    except KeyboardInterrupt:
        if is_new:
            with contextlib.suppress(OSError):
                if partial.is_dir():
                    partial.rmdir()
                elif partial.stat().st_size == 0:
                    partial.unlink()
        raise


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


def _make_folder(folder: Path) -> None:
    """Makes it and those above it. Raises UserError where a file has such a name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"{error.filename} is a file, so that no folder can be made there; name another place"
        ) from None


def _remove_leftover(partial: Path, marker: str, note: Callable[[str], None] | None) -> None:
    """Empties what a killed writer left. Raises UserError where anybody else left it."""
    entries = list(partial.iterdir())
    if not entries:
        return
    # A writer that was killed just before the rename has no `.unfinished` any more.
    if not any((partial / name).is_file() for name in (_UNFINISHED, marker)):
        raise UserError(
            f"{partial} is in the way: it holds {entries[0].name} and is no unfinished output; "
            "move it away or name another place"
        )
    size = _bytes_in(partial)
    _empty(partial)
    if note is not None:
        note(
            f"{partial}: an earlier run was stopped there; the {sizes.format_bytes(size)} that it "
            "left were removed"
        )


def _bytes_in(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _empty(folder: Path) -> None:
    """Removes what is in it, `.unfinished` last, so that a kill in between leaves that sign."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == _UNFINISHED):
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
