"""Modules of the executor that call CUDA, each in two forms: for a GPU, and for the CPU by emulation, for tests."""

load("//build/cc:cc.bzl", "cc_library")

def cuda_module(name, deps = [], cuda_deps = [], visibility = None, **kwargs):
    """The libraries `name` and `emulated_` + name.

    Args:
      name: of the library for a GPU.
      deps: libraries that are the same in both.
      cuda_deps: other modules of this kind.
      visibility: of both.
      **kwargs: passed on to cc_library.
    """
    cc_library(
        name = name,
        visibility = visibility,
        deps = deps + cuda_deps + ["//cc/kernels/cuda:kernels"],
        **kwargs
    )
    cc_library(
        name = "emulated_" + name,
        testonly = True,
        visibility = visibility,
        deps = deps + [":emulated_" + dep.removeprefix(":") for dep in cuda_deps] +
               ["//cc/kernels/cuda:emulated_kernels"],
        **kwargs
    )
