"""Tests of machine: the kernel's own files, made up and real."""

from pathlib import Path

import pytest

from python.console import machine

_GB = 10**9


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text("MemTotal: 32000 kB\nMemAvailable:   20000000 kB\n")
    (folder / "self" / "cgroup").write_text("5:cpu:/x\n0::/user/job\n")
    return folder


def _limit(folder: Path, most: str, used: int, cache: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(most + "\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\nactive_file 0\n")


def test_without_a_limit(proc: Path, tmp_path: Path) -> None:
    assert machine.available_memory(proc, tmp_path / "none") == 20_480_000_000
    _limit(tmp_path / "cgroup" / "user", "max", 5)
    assert machine.available_memory(proc, tmp_path / "cgroup") == 20_480_000_000


def test_the_least_of_all_limits_counts(proc: Path, tmp_path: Path) -> None:
    _limit(tmp_path / "cgroup" / "user", str(9 * _GB), 4 * _GB)
    assert machine.available_memory(proc, tmp_path / "cgroup") == 5 * _GB
    _limit(tmp_path / "cgroup" / "user" / "job", str(6 * _GB), 5 * _GB, cache=2 * _GB)
    assert machine.available_memory(proc, tmp_path / "cgroup") == 3 * _GB
    _limit(tmp_path / "cgroup" / "user" / "job", str(_GB), 5 * _GB)
    assert machine.available_memory(proc, tmp_path / "cgroup") == 0


def test_cgroup_v1(proc: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cgroup" / "memory"
    folder.mkdir(parents=True)
    (folder / "memory.usage_in_bytes").write_text(str(_GB))
    (folder / "memory.limit_in_bytes").write_text(str(2**63 - 4096))
    assert machine.available_memory(proc, tmp_path / "cgroup") == 20_480_000_000
    (folder / "memory.limit_in_bytes").write_text(str(3 * _GB))
    assert machine.available_memory(proc, tmp_path / "cgroup") == 2 * _GB


def test_this_machine(tmp_path: Path) -> None:
    assert machine.available_memory() > 1 << 20
    assert machine.free_disk(tmp_path / "no" / "such" / "file") > 0
    assert machine.existing_parent(tmp_path / "no" / "such" / "file") == tmp_path


def test_a_kernel_that_does_not_tell(tmp_path: Path) -> None:
    assert machine.available_memory(tmp_path, tmp_path) == 0
