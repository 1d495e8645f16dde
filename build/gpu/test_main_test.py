"""A GPU test that is started where no GPU can be used fails, and says why: it never passes without having run."""

import os
import pathlib
import subprocess

PROGRAM = pathlib.Path("build/gpu/example_test_program")


def test_without_a_gpu_it_fails_in_one_sentence(tmp_path: pathlib.Path) -> None:
    report = tmp_path / "test.xml"
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "XML_OUTPUT_FILE": str(report)}
    process = subprocess.run([PROGRAM], env=env, check=False, capture_output=True, text=True)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert "no GPU can be used" in process.stderr
    assert not report.exists()
