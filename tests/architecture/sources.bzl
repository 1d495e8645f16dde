"""@sources//:sources.tar: the text of cc/, python/ and docs/architecture.md, for tests that read all of it.

Globs end at packages, so a rule cannot name every source; a repository can watch the folders instead.
It is made anew when a file in them changes, and only where a target needs it.
"""

_FOLDERS = ["cc", "python"]
_FILES = ["docs/architecture.md"]

def _sources_impl(rctx):
    for folder in _FOLDERS:
        rctx.watch_tree(rctx.workspace_root.get_child(folder))
    for file in _FILES:
        rctx.watch(rctx.workspace_root.get_child(file))
    arguments = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=644"]
    kinds = ["--exclude=__pycache__", "--exclude=testdata"]
    result = rctx.execute(
        ["tar", "-cf", str(rctx.path("sources.tar"))] + arguments + kinds + _FOLDERS + _FILES,
        working_directory = str(rctx.workspace_root),
    )
    if result.return_code != 0:
        fail("the sources could not be packed: " + result.stderr)
    rctx.file("BUILD.bazel", 'exports_files(["sources.tar"])\n')

_sources = repository_rule(
    doc = "A tar of the house's own sources.",
    implementation = _sources_impl,
    local = True,
)

sources = module_extension(implementation = lambda _: _sources(name = "sources"))
