"""Fetches hash-pinned source archives inside a repository rule, with the ordinary pip client and the user's own settings.

pip asks a source archive's own build system for its metadata before it hands the archive over. A stand-in answers
that instead, so nothing of the archive runs and nothing else is fetched.
"""

load("//third_party/python:wheel.bzl", "run")

# What pip wants to know is in the archive's PKG-INFO.
_BACKEND = """import pathlib
import re


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    head = pathlib.Path("PKG-INFO").read_text(encoding="utf-8").split("\\n\\n")[0]
    fields = dict(re.findall(r"^(Metadata-Version|Name|Version): (.*)$", head, re.MULTILINE))
    name = "{}-{}.dist-info".format(fields["Name"].replace("-", "_"), fields["Version"])
    folder = pathlib.Path(metadata_directory, name)
    folder.mkdir()
    lines = ["{}: {}".format(key, value) for key, value in fields.items()]
    folder.joinpath("METADATA").write_text("\\n".join(lines) + "\\n", encoding="utf-8")
    return name
""".replace("\\n", "\\n")

def download_source(rctx, requirement, lock, backend, folder):
    """Extracts a source archive into the folder `source` of the repository.

    Args:
      rctx: the repository's context.
      requirement: a line in pip's format with its hash.
      lock: the file with the hash, for the error.
      backend: the module that the archive names as its build system, as a path: `scikit_build_core/build.py`.
      folder: the folder in the archive that holds everything.
    """
    rctx.file("backend/" + backend, _BACKEND)
    rctx.file("backend/" + backend.split("/")[0] + "/__init__.py", "")
    rctx.file("requirements.txt", requirement + "\n")
    python = rctx.path(Label("@python_interpreter//:installer/bin/python3"))
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--no-binary=:all:"]
    command += ["--no-build-isolation", "--dest=archive", "--requirement=requirements.txt"]
    failure = "%s: pip could not fetch the archive that %s names: check the network and pip's settings"
    run(rctx, command, failure % (folder, lock), {"PYTHONPATH": str(rctx.path("backend"))})
    [archive] = rctx.path("archive").readdir()
    rctx.extract(archive, output = "source", stripPrefix = folder)
    for leftover in ["archive", "backend", "requirements.txt"]:
        rctx.delete(leftover)
