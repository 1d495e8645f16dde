"""NVIDIA's CUDA as external repositories; a machine needs no CUDA of its own.

@cuda_headers   a cc_library with cuda_runtime_api.h, cuda_fp16.h, ... (without the compiler: small, for emulated tests)
@cuda_toolkit   :nvcc and :nvcc_files, the compiler; :cudart_static, the runtime library, which looks for the driver when
                a program runs, so that programs start on machines without one

What must stay true: a file comes only from a wheel whose digest cuda.lock names.
"""

load("//third_party/python:lock.bzl", "parse_lock")
load("//third_party/python:wheel.bzl", "install_wheels")

_HEADERS_BUILD = """load("@rules_cc//cc:cc_library.bzl", "cc_library")

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

_TOOLKIT_BUILD = """load("@rules_cc//cc:cc_import.bzl", "cc_import")
load("@rules_cc//cc:cc_library.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

filegroup(
    name = "nvcc",
    srcs = ["site/nvidia/cu13/bin/nvcc"],
)

filegroup(
    name = "nvcc_files",
    srcs = glob([
        "site/nvidia/cu13/bin/**",
        "site/nvidia/cu13/nvvm/**",
        "site/nvidia/cu13/include/**",
    ]),
)

cc_import(
    name = "libcudart_static",
    static_library = "site/nvidia/cu13/lib/libcudart_static.a",
)

cc_library(
    name = "cudart_static",
    linkopts = [
        "-ldl",
        "-lpthread",
        "-lrt",
    ],
    deps = [
        ":libcudart_static",
        "@cuda_headers",
    ],
)
"""

# By repository: the wheels and the BUILD file. Headers alone are a twentieth of the whole.
_HEADER_WHEELS = ["nvidia-cuda-cccl", "nvidia-cuda-crt", "nvidia-cuda-runtime"]

def _wheels_impl(rctx):
    requirements = parse_lock(rctx.read(rctx.attr.lock))
    wanted = [line for name, line in requirements.items() if not rctx.attr.wheels or name in rctx.attr.wheels]
    if rctx.attr.wheels and len(wanted) != len(rctx.attr.wheels):
        fail("%s names %s, not all of %s" % (rctx.attr.lock, sorted(requirements), rctx.attr.wheels))
    install_wheels(rctx, "\n".join(wanted), "CUDA", rctx.attr.lock.name)
    rctx.file("BUILD.bazel", rctx.attr.build)

_wheels = repository_rule(
    doc = "Parts of CUDA, from wheels.",
    implementation = _wheels_impl,
    attrs = {
        "build": attr.string(doc = "The BUILD file."),
        "lock": attr.label(doc = "The wheels with their digests."),
        "wheels": attr.string_list(doc = "Those to install; empty: all."),
    },
)

def _cuda_impl(_mctx):
    lock = "//third_party/cuda:cuda.lock"
    _wheels(name = "cuda_headers", build = _HEADERS_BUILD, lock = lock, wheels = _HEADER_WHEELS)
    _wheels(name = "cuda_toolkit", build = _TOOLKIT_BUILD, lock = lock)

cuda = module_extension(implementation = _cuda_impl)
