"""NVIDIA's CUDA headers as an external repository.

@cuda_headers   a cc_library with cuda_runtime_api.h, cuda_fp16.h, ...; a machine needs no CUDA of its own

What must stay true: a file comes only from a wheel whose digest cuda.lock names.
"""

load("//third_party/python:lock.bzl", "parse_lock")
load("//third_party/python:wheel.bzl", "install_wheels")

_BUILD = """load("@rules_cc//cc:cc_library.bzl", "cc_library")

cc_library(
    name = "cuda_headers",
    hdrs = glob(["site/nvidia/cu13/include/**"]),
    includes = [
        "site/nvidia/cu13/include",
        "site/nvidia/cu13/include/cccl",
    ],
    visibility = ["//visibility:public"],
)
"""

def _cuda_headers_impl(rctx):
    requirements = parse_lock(rctx.read(rctx.attr.lock))
    install_wheels(rctx, "\n".join(requirements.values()), "CUDA headers", rctx.attr.lock.name)
    rctx.file("BUILD.bazel", _BUILD)

_cuda_headers = repository_rule(
    doc = "The headers of CUDA, from wheels.",
    implementation = _cuda_headers_impl,
    attrs = {"lock": attr.label(doc = "The wheels with their digests.")},
)

def _cuda_impl(_mctx):
    _cuda_headers(
        name = "cuda_headers",
        lock = "//third_party/cuda:cuda.lock",
    )

cuda = module_extension(implementation = _cuda_impl)
