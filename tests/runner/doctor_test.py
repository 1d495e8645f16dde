"""`doctor`: the machine, and artifacts that the other commands refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runner.runner_program import Done, copy_artifact, edit_manifest, refusal, run


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return copy_artifact(tmp_path)


def doctor(artifact: Path, *arguments: str) -> Done:
    return run("doctor", "--model", str(artifact), *arguments)


def score(artifact: Path) -> Done:
    return run("score", "--model", str(artifact), "--tokens", "1,2", "--device", "cpu")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def test_the_machine_is_described() -> None:
    done = run("doctor")
    assert done.returncode == 0
    labels = [line.split()[0] for line in done.stdout.splitlines()]
    assert labels == ["runner", "kernels", "CPUs", "memory", "GPU"]
    assert "--device" not in done.stdout


def test_it_respects_the_cpus_of_the_process() -> None:
    import os
    import subprocess

    done = subprocess.run(
        ["taskset", "-c", str(min(os.sched_getaffinity(0))), os.environ["RUNNER"], "doctor"],
        capture_output=True, check=True, encoding="utf-8",
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if line.startswith("CPUs")] == ["CPUs      1"]


def test_a_good_artifact(artifact: Path) -> None:
    done = doctor(artifact)
    assert done.returncode == 0, done.stderr
    assert "every file is whole" in done.stdout


def test_an_artifact_without_weights_is_refused_in_the_words_of_score(artifact: Path) -> None:
    next(artifact.glob("*.ptd")).unlink()

    def forget(manifest: dict) -> None:  # type: ignore[type-arg]
        manifest["files"] = [f for f in manifest["files"] if not f["name"].endswith(".ptd")]

    edit_manifest(artifact, forget)
    sentence = refusal(score(artifact), 1)
    assert "there are no weights" in sentence
    assert refusal(doctor(artifact), 1) == sentence


@pytest.mark.parametrize("name", ["model.pte", "model.ptd", "tokenizer.bin"])
def test_one_damaged_file_is_refused_in_the_words_of_score(artifact: Path, name: str) -> None:
    flip(artifact / name)
    sentence = refusal(score(artifact), 1)
    assert name in sentence
    assert refusal(doctor(artifact), 1) == sentence


def test_several_damaged_files_are_all_named(artifact: Path) -> None:
    for name in ("model.pte", "model.ptd", "tokenizer.bin"):
        flip(artifact / name)
    done = doctor(artifact)
    assert "3 problems were found" in refusal(done, 1)
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem ")]
    assert len(problems) == 3
    for name in ("model.pte", "model.ptd", "tokenizer.bin"):
        assert sum(f"/{name}: its sha256 is" in line for line in problems) == 1


def test_a_damaged_manifest(artifact: Path) -> None:
    edit_manifest(artifact, lambda manifest: manifest.update(max_seq_len=-1))
    assert refusal(doctor(artifact), 1) == refusal(score(artifact), 1)
