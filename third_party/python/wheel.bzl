"""Installs hash-pinned wheels inside a repository rule, with the ordinary pip client and the user's own settings."""

_CLEAN = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHOME": "",
    "PYTHONPATH": "",
}

# An index that is asked last may be out of reach: pip gives up on it in a minute at most.
_LAST_TRY = ["--retries=1", "--timeout=15"]

def run(rctx, command, failure, environment = {}):
    """Runs a command and returns what it printed; stops with the sentence `failure` and its output if it fails."""
    result = rctx.execute(command, environment = _CLEAN | environment, timeout = 1800)
    if result.return_code:
        fail("%s\n%s%s" % (failure, result.stdout, result.stderr))
    return result.stdout

def install_wheels(rctx, requirements, name, lock, index = None):
    """Installs wheels into the folder `site` of the repository.

    Args:
      rctx: the repository's context.
      requirements: lines in pip's format, each with its hashes.
      name: what is installed, for the error.
      lock: the file with the hashes, for the error.
      index: an index that holds the wheels; it is asked only if pip finds them nowhere with the user's own settings.
    """
    rctx.file("requirements.txt", requirements)
    python = rctx.path(Label("@python_interpreter//:installer/bin/python3"))
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--no-compile", "--target=site", "--requirement=requirements.txt"]
    names = "the wheels that %s names" % lock
    if not index:
        run(rctx, command, "%s: pip could not install %s: check the network and pip's settings" % (name, names))
        return
    result = rctx.execute(command, environment = _CLEAN, timeout = 1800)
    if not result.return_code:
        return
    rctx.delete("site")
    failure = ("%s: pip finds %s neither with its own settings nor at %s: check the network, or name a mirror " +
               "(PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS)\n%s")
    failure %= (name, names, index, result.stderr)
    run(rctx, command + ["--index-url=" + index] + _LAST_TRY, failure)
