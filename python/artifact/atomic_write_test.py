"""Tests of atomic_write: what stands at the path after success, failure and kill -9."""

import linecache
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from python.artifact import atomic_write
from python.console.errors import UserError

_BLOCK = b"x" * 4096


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with atomic_write.atomic_file(path) as file:
        file.write(b"12")
        assert not path.exists()
    assert path.read_bytes() == b"12"
    assert _names(tmp_path) == {"a"}


def test_a_failed_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError), atomic_write.atomic_file(tmp_path / "a") as file:
        file.write(b"12")
        raise ValueError
    assert _names(tmp_path) == set()


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_write.write_file(path, b"old")
    with pytest.raises(UserError, match="--overwrite"):
        atomic_write.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    atomic_write.write_file(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"


def test_a_longer_leftover_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_write.partial_path(path).write_bytes(b"a long leftover")
    atomic_write.write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert _names(tmp_path) == {"a"}


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with atomic_write.atomic_file(path) as file:
        with pytest.raises(UserError, match="another process"):
            atomic_write.write_file(path, b"second")
        file.write(b"first")
    assert path.read_bytes() == b"first"


def test_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in ("file", "nothing"):
        with pytest.raises(UserError, match=rf"{folder}/a: there is no folder .*/{folder} \(make"):
            atomic_write.write_file(tmp_path / folder / "a", b"x")
    for path in ("file/a", "file/a/b", "blocked"):
        (tmp_path / "blocked.partial").write_bytes(b"")
        with (
            pytest.raises(UserError, match=r"/(file|blocked\.partial)(/a)? is a file, so that no"),
            atomic_write.atomic_folder(tmp_path / path, marker="m"),
        ):
            pass


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out"
    with atomic_write.atomic_folder(path, marker="m") as partial:
        (partial / "m").write_bytes(b"1")
        (partial / "sub").mkdir()
        (partial / "sub" / "b").write_bytes(b"2")
        assert not path.exists()
    assert _names(path) == {"m", "sub"}
    assert _names(path.parent) == {"out"}


def test_a_failed_folder_leaves_nothing_or_is_kept_to_resume(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(ValueError), atomic_write.atomic_folder(path, marker="m"):
        raise ValueError
    assert _names(tmp_path) == set()
    with (
        pytest.raises(ValueError),
        atomic_write.atomic_folder(path, marker="m", keep_partial=True) as partial,
    ):
        (partial / "done").write_bytes(b"half")
        raise ValueError
    assert _names(tmp_path) == {"out.partial"}
    with atomic_write.atomic_folder(path, marker="m", resume=True) as partial:
        assert (partial / "done").read_bytes() == b"half"
        (partial / "m").write_bytes(b"")
    assert _names(path) == {"done", "m"}


def _write_file(path: Path) -> None:
    atomic_write.write_file(path, b"12")


def _write_folder(path: Path) -> None:
    with atomic_write.atomic_folder(path, marker="m") as folder:
        (folder / "m").write_bytes(b"")


def _interrupted_at(line: int, write: Callable[[Path], None], path: Path) -> bool:
    """Writes, with a Ctrl-C before the n-th line that atomic_write runs; whether it came to that."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != atomic_write.__file__:
            return None
        # Python looks for signals after calls and at jumps, so never at a bare `try:`.
        source = linecache.getline(atomic_write.__file__, frame.f_lineno).strip()
        lines += event == "line" and source != "try:"
        if lines == line:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        write(path)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("write", [_write_file, _write_folder])
def test_ctrl_c_at_any_line_leaves_nothing_or_the_whole(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    line = 1
    while _interrupted_at(line, write, tmp_path / "out"):
        names = _names(tmp_path)
        assert names <= {"out"}, line
        if names:  # renamed already: the interruption came while the folder above was synced
            path = tmp_path / "out"
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        line += 1
    assert line > 30


def _killed_in_the_middle(path: Path) -> None:
    with atomic_write.atomic_folder(path, marker="m") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "half").write_bytes(b"x" * 1234)
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_writer_left_is_removed_and_named(tmp_path: Path) -> None:
    path = tmp_path / "out"
    process = multiprocessing.Process(target=_killed_in_the_middle, args=(path,))
    process.start()
    assert _join(process) == -signal.SIGKILL
    assert _names(tmp_path) == {"out.partial"}
    notes: list[str] = []
    with atomic_write.atomic_folder(path, marker="m", note=notes.append) as folder:
        assert not (folder / "sub").exists()
        (folder / "m").write_bytes(b"")
    assert _names(path) == {"m"}
    assert _names(tmp_path) == {"out"}
    assert notes == [
        f"{path}.partial: an earlier run was stopped there; the 1.23 kB that it left were removed"
    ]


def test_a_writer_killed_before_the_rename_is_known_by_its_marker(tmp_path: Path) -> None:
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "m").write_bytes(b"1")
    notes: list[str] = []
    with atomic_write.atomic_folder(tmp_path / "out", marker="m", note=notes.append) as folder:
        (folder / "m").write_bytes(b"2")
    assert (tmp_path / "out" / "m").read_bytes() == b"2"
    assert len(notes) == 1


def test_a_folder_that_no_writer_left_is_not_emptied(tmp_path: Path) -> None:
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "thesis.txt").write_bytes(b"precious")
    with (
        pytest.raises(UserError, match=r"out\.partial is in the way: it holds thesis\.txt and is"),
        atomic_write.atomic_folder(tmp_path / "out", marker="m"),
    ):
        pass
    assert (partial / "thesis.txt").read_bytes() == b"precious"


def test_an_empty_leftover_is_no_news(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    notes: list[str] = []
    with atomic_write.atomic_folder(tmp_path / "out", marker="m", note=notes.append) as folder:
        (folder / "m").write_bytes(b"")
    assert notes == []


def test_overwrite_replaces_only_our_own_kind_of_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "thesis.txt").write_bytes(b"precious")
    with (
        pytest.raises(UserError, match="holds files but no m"),
        atomic_write.atomic_folder(path, marker="m", overwrite=True),
    ):
        pass
    (path / "m").write_bytes(b"old")
    with (
        pytest.raises(UserError, match="--overwrite"),
        atomic_write.atomic_folder(path, marker="m"),
    ):
        pass
    with atomic_write.atomic_folder(path, marker="m", overwrite=True) as partial:
        (partial / "m").write_bytes(b"new")
    assert (path / "m").read_bytes() == b"new"
    assert _names(path) == {"m"}
    assert _names(tmp_path) == {"out"}


def test_two_writers_of_one_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_write.atomic_folder(path, marker="m") as partial:
        with (
            pytest.raises(UserError, match="another process"),
            atomic_write.atomic_folder(path, marker="m"),
        ):
            pass
        (partial / "m").write_bytes(b"first")
    assert (path / "m").read_bytes() == b"first"


def test_free_space_is_asked_for(tmp_path: Path) -> None:
    atomic_write.require_free_space(tmp_path / "no" / "such" / "folder", 1)
    with pytest.raises(UserError, match=r"needs 1000000 TB of disk space, .* are free"):
        atomic_write.require_free_space(tmp_path / "a", 10**18)


def test_a_disk_that_becomes_full_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "out.partial"
    folder.mkdir()
    with (
        pytest.raises(
            UserError,
            match=r"No space left on device: 5\.00 kB are needed, 1\.00 kB of it were written, "
            r".*B are free \(make room, or name another place\)",
        ),
        atomic_write.disk_space(folder, 5000),
    ):
        (folder / "a").write_bytes(b"x" * 1000)
        with open("/dev/full", "wb") as full:
            full.write(b"x")
    with (
        pytest.raises(UserError, match=r"needs .* are free"),
        atomic_write.disk_space(folder, 10**18),
    ):
        raise AssertionError


def _write_beyond_the_limit(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    try:
        with atomic_write.atomic_file(path) as file:
            for _ in range(1000):
                file.write(_BLOCK)
    except UserError as error:
        assert str(error) == f"{path}: File too large; {path} is as it was before"
        os._exit(3)


def _write_forever(folder: Path) -> None:
    for count in range(1_000_000):
        atomic_write.write_file(folder / "a", str(count).encode() * 1000, overwrite=True)


def _join(process: multiprocessing.Process) -> int | None:
    process.join(60)
    return process.exitcode


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    process = multiprocessing.Process(target=_write_beyond_the_limit, args=(tmp_path / "a",))
    process.start()
    assert _join(process) == 3
    assert _names(tmp_path) == set()


def test_killed_at_any_moment_a_file_is_old_or_new(tmp_path: Path) -> None:
    chance = random.Random(5)
    atomic_write.write_file(tmp_path / "a", b"0" * 1000)
    for _ in range(20):
        process = multiprocessing.Process(target=_write_forever, args=(tmp_path,))
        process.start()
        time.sleep(chance.uniform(0.01, 0.05))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert _join(process) == -signal.SIGKILL
        text = (tmp_path / "a").read_text()
        assert text == text[: len(text) // 1000] * 1000
        assert _names(tmp_path) <= {"a", "a.partial"}
