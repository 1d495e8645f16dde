"""What this machine has left: host memory and disk space, as far as this process may use them.

A container's limit (cgroup v2 or v1) counts as much as the machine's own memory: whatever is less.
"""

import os
import shutil
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60  # cgroup v1 writes a number near 2^63 where there is no limit


def available_memory(proc: Path = Path("/proc"), cgroup: Path = _CGROUP) -> int:
    """Bytes that can be allocated without swapping; 0 where the kernel does not tell."""
    free = _meminfo(proc / "meminfo", "MemAvailable")
    limits = [
        _left(folder / "memory.max", folder / "memory.current", folder / "memory.stat")
        for folder in _own_cgroups(proc, cgroup)
    ]
    limits.append(
        _left(
            cgroup / "memory/memory.limit_in_bytes",
            cgroup / "memory/memory.usage_in_bytes",
            cgroup / "memory/memory.stat",
        )
    )
    return min([free, *(limit for limit in limits if limit is not None)])


def free_disk(path: Path) -> int:
    """Bytes free on the file system that will hold `path`, which need not exist yet."""
    return shutil.disk_usage(existing_parent(path)).free


def existing_parent(path: Path) -> Path:
    """The nearest folder above `path` that exists."""
    folder = path.absolute().parent
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _own_cgroups(proc: Path, cgroup: Path) -> list[Path]:
    """This process's cgroup v2 folder and those above it."""
    try:
        lines = (proc / "self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    own = next((line[4:] for line in lines if line.startswith("0::/")), None)
    if own is None:
        return []
    folder = cgroup / os.path.normpath(own.strip("/") or ".")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(cgroup))]


def _left(limit: Path, used: Path, stat: Path) -> int | None:
    """What a cgroup may still take, page cache counted as free; None without a limit."""
    try:
        most = int(limit.read_text(encoding="ascii"))  # v2 writes "max" where there is no limit
        taken = int(used.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    if most >= _NO_LIMIT:
        return None
    return max(0, most - taken + _reclaimable(stat))


def _reclaimable(stat: Path) -> int:
    try:
        lines = [line.split() for line in stat.read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0
    return sum(int(value) for name, value in lines if name in ("inactive_file", "active_file"))


def _meminfo(path: Path, key: str) -> int:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), 0)
