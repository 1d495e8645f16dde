"""The BUILD file of a repository that looks at this machine: a flag, and whether it is set.

Tests that need what the machine may lack are compatible with `is_present`, so elsewhere Bazel itself reports them as
skipped. `--@REPOSITORY//:present=false` skips them on a machine that has it.
"""

_BUILD = """load("@bazel_skylib//rules:common_settings.bzl", "bool_flag")

bool_flag(
    name = "present",
    build_setting_default = %s,
    visibility = ["//visibility:public"],
)

config_setting(
    name = "is_present",
    flag_values = {":present": "true"},
    visibility = ["//visibility:public"],
)
"""

def write_machine_flag(rctx, present):
    """Writes the repository's BUILD.bazel: `:present`, true or false unless a command line says else.

    Args:
      rctx: the repository's context.
      present: what was found.
    """
    rctx.file("BUILD.bazel", _BUILD % bool(present))
