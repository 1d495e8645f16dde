"""The runner on damaged artifacts and wrong calls: one sentence on stderr, nothing on stdout, exit 1 or 2, no crash."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Damage = Callable[[Path], None]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A writable copy of the tiny artifact."""
    copy = tmp_path / "artifact"
    shutil.copytree(os.environ["ARTIFACT"], copy)
    for path in [copy, *copy.iterdir()]:
        path.chmod(0o755)
    return copy


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [os.environ["RUNNER"], *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )


def score(artifact: Path) -> subprocess.CompletedProcess[bytes]:
    return run("score", "--model", str(artifact), "--tokens", "1,2,3")


def remarks_removed(stderr: bytes) -> list[str]:
    """Lines of stderr, but for those that say which device and how much memory is taken."""
    lines = stderr.decode().splitlines()
    return [line for line in lines if line and not line.startswith(("device: ", "memory: "))]


def assert_refused(done: subprocess.CompletedProcess[bytes], code: int) -> str:
    message = done.stderr.decode()
    assert done.returncode == code, f"exit {done.returncode}: {message}"
    assert done.stdout == b""
    sentences = remarks_removed(done.stderr)
    assert len(sentences) == 1, message
    return sentences[0] + "\n"


def edit_manifest(artifact: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = artifact / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def data_file(artifact: Path) -> Path:
    return next(artifact.glob("*.ptd"))


def truncate(path: Path, keep: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def flip_bit(path: Path, position: float) -> None:
    data = bytearray(path.read_bytes())
    data[min(int(len(data) * position), len(data) - 1)] ^= 0x10
    path.write_bytes(data)


def accept_digest(artifact: Path, name: str) -> None:
    """Writes the damaged file's own size and digests into the manifest, so that the next check has to see it."""
    import hashlib

    data = (artifact / name).read_bytes()

    def edit(manifest: dict[str, Any]) -> None:
        entry = next(entry for entry in manifest["files"] if entry["name"] == name)
        entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        if "sections" in entry:
            size = entry["sections"]["bytes"]
            entry["sections"]["sha256"] = [
                hashlib.sha256(data[begin : begin + size]).hexdigest()
                for begin in range(0, len(data), size)
            ]

    edit_manifest(artifact, edit)


def test_the_intact_copy_works(artifact: Path) -> None:
    done = score(artifact)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize("name", ["model.pte", "manifest.json", "ptd", "tokenizer.bin"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files(artifact: Path, name: str, keep: float) -> None:
    path = data_file(artifact) if name == "ptd" else artifact / name
    truncate(path, keep)
    assert_refused(score(artifact), 1)


@pytest.mark.parametrize("name", ["model.pte", "manifest.json", "ptd", "tokenizer.bin"])
def test_missing_files(artifact: Path, name: str) -> None:
    path = data_file(artifact) if name == "ptd" else artifact / name
    path.unlink()
    assert path.name in assert_refused(score(artifact), 1)


@pytest.mark.parametrize("position", [0.001, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("name", ["model.pte", "ptd", "tokenizer.bin"])
def test_a_flipped_bit_is_seen_by_its_digest(artifact: Path, name: str, position: float) -> None:
    path = data_file(artifact) if name == "ptd" else artifact / name
    flip_bit(path, position)
    assert "sha256" in assert_refused(score(artifact), 1)


@pytest.mark.parametrize("position", [0.001, 0.3, 0.7, 0.999])
def test_weights_without_digests_of_sections_are_checked_whole(
    artifact: Path, position: float
) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        for entry in manifest["files"]:
            entry.pop("sections", None)

    edit_manifest(artifact, edit)
    assert score(artifact).returncode == 0
    flip_bit(data_file(artifact), position)
    assert "its sha256 is" in assert_refused(score(artifact), 1)


def test_hostile_programs_with_matching_digests_never_crash(artifact: Path) -> None:
    """Bit flips over the whole .pte: refused in a sentence, or harmless; never a signal."""
    original = (artifact / "model.pte").read_bytes()
    generator = random.Random(0)
    refused = 0
    for _ in range(60):
        data = bytearray(original)
        for _ in range(generator.choice([1, 4, 64])):
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        (artifact / "model.pte").write_bytes(data)
        accept_digest(artifact, "model.pte")
        done = score(artifact)
        assert done.returncode in (0, 1), (done.returncode, done.stderr)
        if done.returncode == 1:
            assert_refused(done, 1)
            refused += 1
    print(f"{refused} of 60 damaged programs were refused, the others are harmless")
    assert refused > 0


def test_hostile_weights_with_matching_digests_never_crash(artifact: Path) -> None:
    path = data_file(artifact)
    original = path.read_bytes()
    generator = random.Random(1)
    for size in (64, 1000, len(original) // 2):
        path.write_bytes(original[:size])
        accept_digest(artifact, path.name)
        assert_refused(score(artifact), 1)
    for _ in range(30):
        data = bytearray(original)
        for _ in range(8):
            data[generator.randrange(min(4096, len(data)))] ^= 1 << generator.randrange(8)
        path.write_bytes(data)
        accept_digest(artifact, path.name)
        done = score(artifact)
        assert done.returncode in (0, 1), (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("what", "edit"),
    [
        ("format_version", lambda m: m.update(format_version=2)),
        ("surprise", lambda m: m.update(surprise=1)),
        ("max_seq_len", lambda m: m.pop("max_seq_len")),
        ("max_seq_len", lambda m: m.update(max_seq_len=-1)),
        ("max_seq_len", lambda m: m.update(max_seq_len=1e300)),
        ("max_seq_len", lambda m: m.update(max_seq_len="many")),
        ("max_seq_len", lambda m: m.update(max_seq_len=m["max_seq_len"] * 2)),
        ("files", lambda m: m.update(files=[])),
        ("name", lambda m: m["files"][0].update(name="../../etc/passwd")),
        ("bytes", lambda m: m["files"][0].update(bytes=2**63)),
        ("sha256", lambda m: m["files"][0].update(sha256="00")),
        ("sections", lambda m: m["files"][0].update(sections={"bytes": 1 << 20, "sha256": []})),
        ("stop_ids", lambda m: m["tokenizer"].update(stop_ids=[1 << 40])),
        ("chat_template", lambda m: m["tokenizer"].update(chat_template="llama")),
    ],
)
def test_manifests_that_lie(
    artifact: Path, what: str, edit: Callable[[dict[str, Any]], Any]
) -> None:
    edit_manifest(artifact, edit)
    assert_refused(score(artifact), 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}" * 3, "[" * 100_000, '{"a":' * 10_000])
def test_manifests_that_are_no_manifests(artifact: Path, text: str) -> None:
    (artifact / "manifest.json").write_text(text)
    assert_refused(score(artifact), 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "--tokens", "1", "--no_such_flag"),
        ("score", "--tokens", "1,x"),
        ("score", "--tokens", ""),
        ("generate", "--raw", "--prompt", "a", "--temperature", "-1"),
        ("generate", "--raw", "--prompt", "a", "--temperature", "nan"),
        ("generate", "--raw", "--prompt", "a", "--top_p", "1.5"),
        ("generate", "--raw", "--prompt", "a", "--top_k", "-3"),
        ("generate", "--raw", "--prompt", "a", "--max_new_tokens", "-1"),
        ("generate", "--raw", "--prompt", "a", "--device", "tpu"),
        ("generate", "--raw"),
        ("juggle",),
    ],
)
def test_wrong_calls_are_usage_errors(artifact: Path, arguments: tuple[str, ...]) -> None:
    assert_refused(run(*arguments, "--model", str(artifact)), 2)


def test_a_prompt_longer_than_the_context_names_both_numbers(artifact: Path) -> None:
    limit = json.loads((artifact / "manifest.json").read_text())["max_seq_len"]
    done = run("score", "--model", str(artifact), "--tokens", ",".join(["1"] * (limit + 1)))
    message = assert_refused(done, 1)
    assert str(limit) in message and str(limit + 1) in message


def test_a_token_outside_the_vocabulary_is_refused(artifact: Path) -> None:
    assert "1000000" in assert_refused(
        run("score", "--model", str(artifact), "--tokens", "1,1000000"), 2
    )


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    message = assert_refused(run("score", "--model", str(tmp_path / "nothing"), "--tokens", "1"), 1)
    assert "nothing" in message


def test_a_closed_pipe_is_no_error_message(artifact: Path) -> None:
    command = f'"{os.environ["RUNNER"]}" score --model "{artifact}" --tokens 1,2,3 | true'
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=60)
    assert remarks_removed(done.stderr) == []
