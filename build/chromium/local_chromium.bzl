"""Whether this machine has a Chromium: @local_chromium//:present, looked up anew whenever Bazel's server starts.

Tests of the web chat are compatible with a machine that has one, so elsewhere Bazel itself reports them as skipped.
`GEMMA_CHROMIUM` names another program; `--@local_chromium//:present=false` skips the tests on a machine with one.
"""

load("//build:machine_flag.bzl", "write_machine_flag")

_NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"]

def _find(rctx):
    named = rctx.getenv("GEMMA_CHROMIUM")
    if named:
        return named
    for name in _NAMES:
        program = rctx.which(name)
        if program:
            return str(program)
    return ""

def _local_chromium_impl(rctx):
    program = _find(rctx)
    write_machine_flag(rctx, program)
    rctx.file("program.bzl", 'CHROMIUM = "%s"\n' % program)

_local_chromium = repository_rule(
    doc = "A flag and a config_setting that say whether this machine has a Chromium, and CHROMIUM, where it is.",
    implementation = _local_chromium_impl,
    configure = True,
    local = True,
)

local_chromium = module_extension(implementation = lambda _: _local_chromium(name = "local_chromium"))
