"""Whether this machine has an NVIDIA GPU: @local_gpu//:present, looked up anew whenever Bazel's server starts.

Tests that need a GPU are compatible with a machine that has one (gpu_test of //build:cuda.bzl), so elsewhere Bazel itself
reports them as skipped. `--@local_gpu//:present=false` skips them on a machine with a GPU; `=true` runs them, say, on
remote machines that have one.
"""

load("//build:machine_flag.bzl", "write_machine_flag")

# What the driver makes: on Linux, and under Windows' Linux.
_DEVICES = ["/dev/nvidiactl", "/dev/dxg"]

def _local_gpu_impl(rctx):
    write_machine_flag(rctx, any([rctx.path(device).exists for device in _DEVICES]))

_local_gpu = repository_rule(
    doc = "A flag and a config_setting that say whether this machine has an NVIDIA GPU.",
    implementation = _local_gpu_impl,
    configure = True,
    local = True,
)

local_gpu = module_extension(implementation = lambda _: _local_gpu(name = "local_gpu"))
