"""Where there is no GPU, a gpu_test reports each of its tests as skipped, and the count says so."""

import os
import pathlib
import subprocess

from build.ci import count_tests

BINARY = pathlib.Path("build/gpu/example_test")


def run_without_gpu(report: pathlib.Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "XML_OUTPUT_FILE": str(report)} | more
    return subprocess.run([BINARY], env=env, check=False, capture_output=True, text=True)


def test_every_test_is_skipped_and_counted(tmp_path: pathlib.Path) -> None:
    report = tmp_path / "test.xml"
    process = run_without_gpu(report)
    assert process.returncode == 0
    assert "no GPU" in process.stdout
    result = {
        "status": "PASSED",
        "testActionOutput": [{"name": "test.xml", "uri": report.as_uri()}],
    }
    assert count_tests.count_result(result) == {"skipped": 2}


def test_a_required_gpu_that_is_missing_is_a_failure(tmp_path: pathlib.Path) -> None:
    process = run_without_gpu(tmp_path / "test.xml", GEMMA_REQUIRE_GPU="1")
    assert process.returncode == 1
    assert "no GPU can be used" in process.stderr
