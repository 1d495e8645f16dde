"""Stands in for buildozer's extension: Bazel's own module names it and the repository that it makes."""

def _empty_impl(rctx):
    rctx.file("BUILD.bazel")

_empty_repository = repository_rule(implementation = _empty_impl)

buildozer_binary = module_extension(
    implementation = lambda _: _empty_repository(name = "buildozer_binary"),
)
