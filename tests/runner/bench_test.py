"""`bench` on a short context: what it measures by default, what it refuses, what it keeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.runner.runner_program import copy_artifact, refusal, run


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return copy_artifact(tmp_path)


def test_defaults_are_shortened_to_the_context_and_that_is_said(artifact: Path) -> None:
    done = run("bench", "--model", str(artifact), "--repetitions", "2")
    assert done.returncode == 0, done.stderr
    assert "measuring --prefill 256, since the context of this artifact ends at 256" in done.stderr
    rows = [line.split()[:4] for line in done.stdout.splitlines()]
    assert ["prefill", "256", "0", "2"] in rows
    assert ["decode", "64", "0", "2"] in rows
    assert "measuring decode of 64 tokens at depth 0" in done.stderr


def test_quiet_prints_results_alone(artifact: Path) -> None:
    done = run(
        "bench", "--model", str(artifact), "--repetitions", "1", "--quiet", "--format", "json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["test"] for row in json.loads(done.stdout)["results"]] == ["prefill", "decode"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--prefill", "300"), "--prefill 300 at --depth 0 needs 300 positions, but the context"),
        (("--prefill", "64,1k"), "--prefill 1024 at --depth 0 needs 1024 positions"),
        (("--decode", "20", "--depth", "0,250"), "--decode 20 at --depth 250 needs 270 positions"),
        (("--depth", "300"), "--depth 300 leaves no room in this artifact's context of 256"),
        (("--depth", "x"), "x is not a number of tokens from 0 on"),
        (("--format", "csv"), "csv is not one of table|markdown|json"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_measured(
    artifact: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    next(artifact.glob("*.ptd")).unlink()  # whoever reads weights fails with 1
    done = run("bench", "--model", str(artifact), *arguments)
    assert sentence in refusal(done, 2)
    assert done.stdout == ""


def test_ctrl_c_keeps_what_was_measured(artifact: Path) -> None:
    process = subprocess.Popen(
        [
            os.environ["RUNNER"], "bench", "--model", str(artifact), "--prefill", "8", "--decode",
            "200", "--repetitions", "1000", "--threads", "1",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    while not process.stdout.readline().startswith("prefill "):
        pass
    process.send_signal(signal.SIGINT)
    rest, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "peak resident" in rest
