"""Chat templates that llama.cpp's tests have, as @llama_cpp: what our own renderers are compared with.

The archive has 77 MB; it is fetched when a test first needs it.
"""

load("//third_party/python:lock.bzl", "parse_lock")
load("//third_party/python:source.bzl", "download_source")
load("//third_party/python:wheel.bzl", "run")

_VERSION = "0.3.36"
_TEMPLATES = "source/vendor/llama.cpp/models/templates/"
_BUILD = """exports_files(["google-gemma-4-31B-it.jinja"], visibility = ["//visibility:public"])
"""

def _llama_cpp_impl(rctx):
    requirement = parse_lock(rctx.read(rctx.attr.lock))["llama-cpp-python"]
    folder = "llama_cpp_python-" + _VERSION
    download_source(rctx, requirement, rctx.attr.lock.name, "scikit_build_core/build.py", folder)
    name = "google-gemma-4-31B-it.jinja"
    run(rctx, ["cp", _TEMPLATES + name, name], "llama.cpp: the archive does not have %s" % name)
    rctx.delete("source")
    rctx.file("BUILD.bazel", _BUILD)

_llama_cpp = repository_rule(
    implementation = _llama_cpp_impl,
    attrs = {"lock": attr.label(doc = "The archive with its digest.")},
)

llama_cpp = module_extension(
    implementation = lambda _: _llama_cpp(name = "llama_cpp", lock = "//third_party/llama_cpp:llama_cpp.lock"),
)
