"""Tar and wheel as their readers see them: order, times, owners, modes, metadata, digests."""

import base64
import csv
import hashlib
import io
import tarfile
import zipfile

import pytest

from build.release.archive_entry import SECONDS, ZIP_TIME, Entry, in_order
from build.release.make_tar import make_tar
from build.release.make_wheel import Distribution, locked_requirements, make_wheel

ENTRIES = [
    Entry(name="runner", data=b"\x7fELF" * 100, executable=True),
    Entry(name="licenses/b.txt", data=b"b"),
    Entry(name="README.md", data=b""),
]
DISTRIBUTION = Distribution(version="1.2.3", pythons=["3.11", "3.13"], requirements=["torch==2.0"])
LOCK = "# a lock\ntorch==2.13.0+cpu \\\n    --hash=sha256:00\nabsl-py==2.5.1 \\\n    --hash=sha256:11\n"


def test_the_same_entries_give_the_same_bytes_in_any_order() -> None:
    assert make_tar(ENTRIES, "a") == make_tar(ENTRIES[::-1], "a")
    assert make_wheel(ENTRIES, [], DISTRIBUTION) == make_wheel(ENTRIES[::-1], [], DISTRIBUTION)


def test_members_of_the_tar() -> None:
    packed = make_tar(ENTRIES, "gemma-1")
    assert packed[3] == 0  # gzip: no name of a file
    assert packed[4:8] == bytes(4)  # and no time
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = tar.getmembers()
    assert [(m.name, m.mode, m.size) for m in members] == [
        ("gemma-1/README.md", 0o644, 0),
        ("gemma-1/licenses/b.txt", 0o644, 1),
        ("gemma-1/runner", 0o755, 400),
    ]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {
        (SECONDS, 0, 0, "root", "root")
    }


def test_members_of_the_wheel() -> None:
    sources = [Entry(name="p/a.py", data=b'"""./bazelw run //cc/runner -- chat"""\n'), *ENTRIES]
    wheel = make_wheel(sources, [Entry(name="x.txt", data=b"x")], DISTRIBUTION)
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        infos = archive.infolist()
        files = {info.filename: archive.read(info) for info in infos}
    names = [info.filename for info in infos]
    assert names[:-1] == sorted(names[:-1])
    assert names[-1] == "gemma_executorch-1.2.3.dist-info/RECORD"
    assert {info.date_time for info in infos} == {ZIP_TIME}
    modes = {info.filename: info.external_attr >> 16 for info in infos}
    assert (modes["runner"], modes["README.md"]) == (0o100755, 0o100644)
    assert files["p/a.py"] == b'"""gemma-run chat"""\n'
    assert files["gemma_executorch-1.2.3.dist-info/licenses/x.txt"] == b"x"


def test_the_record_has_every_file_and_its_digest() -> None:
    with zipfile.ZipFile(io.BytesIO(make_wheel(ENTRIES, [], DISTRIBUTION))) as archive:
        record = archive.read("gemma_executorch-1.2.3.dist-info/RECORD").decode()
        rows = list(csv.reader(record.splitlines()))
        assert [row[0] for row in rows] == archive.namelist()
        for name, digest, size in rows[:-1]:
            data = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={expected}", str(len(data)))


def test_metadata() -> None:
    text = DISTRIBUTION.metadata(["a.txt"])
    assert "Version: 1.2.3\n" in text
    assert "Requires-Python: >=3.11, <3.14\n" in text
    assert "License-File: a.txt\nRequires-Dist: torch==2.0\n" in text


def test_requirements_are_the_locks() -> None:
    assert locked_requirements(LOCK, ["torch", "absl_py"]) == ["absl-py==2.5.1", "torch==2.13.0"]
    with pytest.raises(ValueError, match="numpy: not in the lock"):
        locked_requirements(LOCK, ["numpy", "torch"])


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b"])
def test_no_entry_leads_out_of_the_archive(name: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        in_order([Entry(name=name, data=b"")])


def test_a_name_stands_for_one_file() -> None:
    with pytest.raises(ValueError, match=r"README\.md would be in the archive twice"):
        in_order([*ENTRIES, Entry(name="README.md", data=b"other")])
