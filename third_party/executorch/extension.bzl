"""ExecuTorch's C++ runtime as @executorch: the headers and libexecutorch.so of the wheel that requirements.lock pins.

Python and C++ so share one version. Nothing else of the Python world is fetched for it.
"""

_LINKS = {
    "include": "include",
    "lib/libexecutorch.so": "lib/libexecutorch.so",
    "schema/flat_tensor.fbs": "extension/flat_tensor/serialize/flat_tensor.fbs",
    "schema/program.fbs": "schema/program.fbs",
    "schema/scalar_type.fbs": "schema/scalar_type.fbs",
}

def _executorch_impl(rctx):
    wheel = str(rctx.path(Label("@python_deps_executorch//:BUILD.bazel")).dirname) + "/site/executorch/"
    for link, target in _LINKS.items():
        rctx.symlink(wheel + target, link)
    rctx.template("BUILD.bazel", rctx.attr._build_file)

_executorch = repository_rule(
    implementation = _executorch_impl,
    attrs = {"_build_file": attr.label(default = "//third_party/executorch:executorch.BUILD")},
)

executorch = module_extension(
    implementation = lambda _: _executorch(name = "executorch"),
)
