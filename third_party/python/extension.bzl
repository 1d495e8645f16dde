"""The interpreter and the Python distributions of this repository, as external repositories.

@python_interpreter   a virtual environment without any package, of the Python on the PATH (or $GEMMA_PYTHON)
@python_deps          one label per distribution of requirements.lock: @python_deps//:torch

What must stay true: a file comes only from a wheel whose digest requirements.lock names, and a distribution is on a
program's sys.path only if the program depends on its label. Wheels are installed by the ordinary pip client with the
user's own settings (PIP_*, proxies, certificates), each into a repository of its own when it is first needed.
"""

load(":lock.bzl", "label_name", "parse_lock", "parse_names")
load(":wheel.bzl", "install_wheels", "run")

# Imports that a distribution's metadata does not name.
_UNDECLARED = {
    "executorch": ["torch"],
    "torchao": ["torch"],
}

# Indexes of distributions that PyPI holds in another build: torch's CPU build is PyTorch's own.
_INDEXES = {
    "torch": "https://download.pytorch.org/whl/cpu",
}

def _version(rctx, python):
    """The version of an interpreter as "3.11", or None if it does not run."""
    result = rctx.execute([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    return None if result.return_code else result.stdout.strip()

def _choose_interpreter(rctx, versions):
    """$GEMMA_PYTHON, else the first of python3, python3.13, ... on the PATH whose version is one of `versions`."""
    named = rctx.os.environ.get("GEMMA_PYTHON")
    names = [named] if named else ["python3"] + ["python" + version for version in reversed(versions)]
    found = []
    for name in names:
        python = name if "/" in name else rctx.which(name)
        version = _version(rctx, python) if python else None
        if version in versions:
            return python
        found.append("%s is %s" % (name, "Python " + version if version else "not there"))
    fail("none of Python %s can be used: %s (install one with its venv module%s)" %
         (", ".join(versions), ", ".join(found), "; GEMMA_PYTHON names it" if named else ""))

def _interpreter_impl(rctx):
    python = _choose_interpreter(rctx, rctx.attr.versions)
    remedy = "%s cannot make a virtual environment: install its venv module (Debian and Ubuntu: python3-venv)" % python
    run(rctx, [python, "-m", "venv", "--without-pip", "venv"], remedy)
    run(rctx, [python, "-m", "venv", "installer"], remedy)
    rctx.template("BUILD.bazel", rctx.attr._build_file)

_interpreter = repository_rule(
    doc = "Two virtual environments: an empty one that programs run on, and one with pip that installs wheels.",
    implementation = _interpreter_impl,
    attrs = {
        "versions": attr.string_list(doc = "Those that the lock holds wheels for, oldest first."),
        "_build_file": attr.label(default = "//third_party/python:interpreter.BUILD"),
    },
    environ = ["GEMMA_PYTHON"],
)

def _distribution_impl(rctx):
    name = rctx.attr.distribution
    install_wheels(rctx, rctx.attr.requirement, name, "third_party/python/requirements.lock", _INDEXES.get(name))
    python = rctx.path(Label("@python_interpreter//:installer/bin/python3"))
    declared = "files" if rctx.getenv("GEMMA_DECLARE_FILES") else "directory"
    build = run(
        rctx,
        [python, rctx.path(rctx.attr._build_writer), "site", declared] + rctx.attr.undeclared,
        "%s: its metadata could not be read" % name,
    )
    rctx.file("BUILD.bazel", build)

_distribution = repository_rule(
    doc = "One distribution of the lock, installed and byte-compiled in the folder `site`.",
    implementation = _distribution_impl,
    attrs = {
        "distribution": attr.string(),
        "requirement": attr.string(),
        "undeclared": attr.string_list(),
        "_build_writer": attr.label(default = "//third_party/python:distribution_build.py"),
    },
)

def _hub_impl(rctx):
    lines = [
        'load("@rules_python//python:py_library.bzl", "py_library")',
        'package(default_visibility = ["//visibility:public"])',
    ]
    for name in rctx.attr.locked:
        lines.append('alias(name = "%s", actual = "@python_deps_%s//:pkg")' % (name, name))
    for name in rctx.attr.excluded:
        lines.append('py_library(name = "%s")' % name)
    rctx.file("BUILD.bazel", "\n\n".join(lines) + "\n")

_hub = repository_rule(
    doc = """One alias per distribution, so that naming one does not fetch the others.

    What the lock excludes is an empty library: other distributions name it.
    """,
    implementation = _hub_impl,
    attrs = {"locked": attr.string_list(), "excluded": attr.string_list()},
)

def _python_impl(mctx):
    requirements = parse_lock(mctx.read(Label("//third_party/python:requirements.lock")))
    excluded = parse_names(mctx.read(Label("//third_party/python:excluded.txt")))
    versions = parse_names(mctx.read(Label("//third_party/python:versions.txt")))
    _interpreter(name = "python_interpreter", versions = versions)
    for name, requirement in requirements.items():
        _distribution(
            name = "python_deps_" + label_name(name),
            distribution = name,
            requirement = requirement,
            undeclared = _UNDECLARED.get(name, []),
        )
    _hub(
        name = "python_deps",
        excluded = [label_name(name) for name in excluded],
        locked = [label_name(name) for name in requirements],
    )

python = module_extension(implementation = _python_impl)
