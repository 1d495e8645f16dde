"""`bench` on a short context: what it measures by default, what it refuses, what it keeps."""

from __future__ import annotations

import json
import os
import re
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


def test_a_cpu_reads_memory_at_a_speed_of_which_decode_uses_a_share(artifact: Path) -> None:
    arguments = ("--prefill", "8", "--decode", "16", "--repetitions", "1", "--device", "cpu")
    done = run("bench", "--model", str(artifact), *arguments)
    assert done.returncode == 0, done.stderr
    title, _, rows = done.stdout.partition("\n")
    measured = re.search(r"read bandwidth (\d+) GB/s$", title)
    assert measured is not None, title
    decode = re.search(r"^decode .* (\d+) GB/s, (\d+) % of the bandwidth$", rows, re.MULTILINE)
    assert decode is not None, rows
    share = 100 * int(decode[1]) / int(measured[1])
    assert int(measured[1]) > 0
    assert abs(int(decode[2]) - share) <= 1 + 60 / int(measured[1])  # both are rounded to 1 GB/s


def test_what_measuring_takes_is_no_part_of_the_peak(artifact: Path) -> None:
    arguments = ("--prefill", "8", "--decode", "1", "--repetitions", "1", "--format", "json")
    done = run("bench", "--model", str(artifact), "--device", "cpu", *arguments)
    report = json.loads(done.stdout)
    assert report["read_bytes_per_second"] > 1e8
    assert report["peak_resident_bytes"] < 256 << 20  # the least that measuring reads


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
