"""Developers' tools that come as npm packages: @buildifier//:buildifier.

The version and its digest are in package-lock.json, which names no address. Fetched when lint first runs.
"""

_BUILD = """exports_files(["buildifier"], visibility = ["//visibility:public"])
"""

def _buildifier_impl(rctx):
    npm = rctx.which("npm")
    if not npm:
        fail("npm is not on the PATH: install Node.js with npm; build/lint takes buildifier from it")
    rctx.symlink(rctx.attr._package, "package.json")
    rctx.symlink(rctx.attr._lock, "package-lock.json")
    result = rctx.execute([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
    if result.return_code:
        fail("npm could not install what third_party/npm/package-lock.json names: check the network\n" + result.stderr)
    machine = "arm64" if rctx.os.arch == "aarch64" else "amd64"
    system = "darwin" if rctx.os.name.startswith("mac") else "linux"
    rctx.symlink("node_modules/@bazel/buildifier/buildifier-%s_%s" % (system, machine), "buildifier")
    rctx.file("BUILD.bazel", _BUILD)

_buildifier = repository_rule(
    implementation = _buildifier_impl,
    attrs = {
        "_lock": attr.label(default = "//third_party/npm:package-lock.json"),
        "_package": attr.label(default = "//third_party/npm:package.json"),
    },
)

npm = module_extension(implementation = lambda _: _buildifier(name = "buildifier"))
