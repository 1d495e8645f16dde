"""The release as it is handed out: unpacked, and its programs started from where it lies."""

import os
import pathlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable

import pytest

ROOT = pathlib.Path.cwd()
ARTIFACT = ROOT / os.environ["ARTIFACT"]
CHECKPOINT = ROOT / os.environ["CHECKPOINT"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
# Where this machine or the build keeps things; our programs are to name none of it.
FOREIGN = re.compile(rb"/(?:home|root|tmp|execroot|sandbox)/[\w./-]{3,60}")


@pytest.fixture(scope="module")
def tar_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tar")
    subprocess.run(["tar", "-xzf", os.environ["TAR"], "-C", folder], check=True)
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(os.environ["WHEEL"]) as wheel:
        for info in wheel.infolist():
            (folder / wheel.extract(info, folder)).chmod((info.external_attr >> 16) & 0o777)
    return folder


@pytest.fixture
def run(site: pathlib.Path, tmp_path: pathlib.Path) -> Run:
    """Starts a console script of the wheel, with the lock's packages but not this repository."""
    packages = [path for path in sys.path if "python_deps_" in path]

    def start(function: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        code = f"from gemma_executorch.programs import {function}; {function}()"
        path = os.pathsep.join([str(site), *packages])
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={"PYTHONPATH": path, "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return start


def test_the_tar_holds_the_runner_and_what_belongs_to_it(tar_folder: pathlib.Path) -> None:
    names = {path.name for path in tar_folder.iterdir()}
    assert names == {"Containerfile", "README.md", "libexecutorch.so", "licenses", "runner"}
    container = (tar_folder / "Containerfile").read_text()
    for name in re.search(r"COPY (.*) /opt/gemma/\n", container)[1].split():  # type: ignore[index]
        assert (tar_folder / name).is_file()


def test_the_runner_of_the_tar_answers(tar_folder: pathlib.Path) -> None:
    flags = ["--prompt", "a", "--raw", "--max_new_tokens", "4", "--device", "cpu"]
    done = subprocess.run(
        [str(tar_folder / "runner"), "generate", "--model", str(ARTIFACT), *flags],
        env={}, cwd=tar_folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 new tokens" in done.stderr


def test_no_file_names_a_place_of_the_machine_that_built_it(tar_folder: pathlib.Path) -> None:
    assert FOREIGN.findall((tar_folder / "runner").read_bytes()) == []


def test_versions_are_the_same(tar_folder: pathlib.Path, run: Run) -> None:
    command = [str(tar_folder / "runner"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    own = said.split()[1].rstrip(",")
    assert own in pathlib.Path(os.environ["TAR"]).name
    assert own in pathlib.Path(os.environ["WHEEL"]).name
    for function in ("export", "quantize", "inspect", "run"):
        assert own in run(function, "--version").stdout, function


def test_the_wheels_programs_export_inspect_and_run(run: Run, tmp_path: pathlib.Path) -> None:
    store, artifact = tmp_path / "store", tmp_path / "artifact"
    for command in (
        ("quantize", f"--checkpoint={CHECKPOINT}", f"--output={store}", "--progress=none"),
        ("export", f"--checkpoint={store}", f"--output={artifact}", "--max_seq_len=128",
         "--progress=none"),
        ("inspect", f"--path={artifact}"),
        ("run", "generate", "--model", str(artifact), "--prompt", "a", "--raw",
         "--max_new_tokens", "4", "--device", "cpu"),
    ):  # fmt: skip
        done = run(*command)
        assert done.returncode == 0, (command, done.stderr)


def test_help_names_the_commands_of_an_installation(run: Run) -> None:
    done = run("export", "--help")
    assert "gemma-export --checkpoint" in done.stdout + done.stderr
    assert "bazelw" not in done.stdout + done.stderr
