"""Installs hash-pinned wheels inside a repository rule, with the ordinary pip client and the user's own settings."""

_CLEAN = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHOME": "",
    "PYTHONPATH": "",
}

def run(rctx, command, failure):
    """Runs a command and returns what it printed; stops with the sentence `failure` and its output if it fails."""
    result = rctx.execute(command, environment = _CLEAN, timeout = 1800)
    if result.return_code:
        fail("%s\n%s%s" % (failure, result.stdout, result.stderr))
    return result.stdout

def install_wheels(rctx, requirements, name, lock, hint = ""):
    """Installs wheels into the folder `site` of the repository.

    Args:
      rctx: the repository's context.
      requirements: lines in pip's format, each with its hashes.
      name: what is installed, for the error.
      lock: the file with the hashes, for the error.
      hint: what else helps when it fails, for the error.
    """
    rctx.file("requirements.txt", requirements)
    run(
        rctx,
        [rctx.path(Label("@python_interpreter//:installer/bin/python3")), "-m", "pip", "install"] +
        ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile"] +
        ["--target=site", "--requirement=requirements.txt"],
        "%s: pip could not install the wheels that %s names: check the network and pip's settings%s" %
        (name, lock, hint),
    )
