"""release_tar and release_wheel: what is handed to people who have no Bazel.

Each rule only says which file goes where; make_tar.py and make_wheel.py write the archives.
"""

_ARCHIVE = {
    "license_texts": attr.label(doc = "A text for each library that the runner is linked with.", mandatory = True),
    "runner": attr.label(doc = "The runner.", executable = True, cfg = "target", mandatory = True),
    "runtime": attr.label(doc = "ExecuTorch's library, which the runner looks for beside itself.", allow_single_file = True),
    "version": attr.string(mandatory = True),
}

def _common(ctx, name, folder):
    output = ctx.actions.declare_file(name)
    arguments = ctx.actions.args()
    arguments.use_param_file("@%s", use_always = True)
    arguments.set_param_file_format("multiline")
    arguments.add(output, format = "--output=%s")
    arguments.add(ctx.attr.version, format = "--version=%s")
    arguments.add(ctx.executable.runner, format = "--program=%srunner=%%s" % folder)
    arguments.add(ctx.file.runtime, format = "--file=%s%s=%%s" % (folder, ctx.file.runtime.basename))
    return output, arguments

def _write(ctx, output, arguments, inputs):
    ctx.actions.run(
        executable = ctx.executable._maker,
        arguments = [arguments],
        inputs = inputs + ctx.files.license_texts + [ctx.executable.runner, ctx.file.runtime],
        outputs = [output],
        mnemonic = "GemmaRelease",
        progress_message = "Packing %{output}",
    )
    return [DefaultInfo(files = depset([output]), runfiles = ctx.runfiles(files = [output]))]

def _release_tar_impl(ctx):
    output, arguments = _common(ctx, "gemma_executorch-%s-linux-x86_64.tar.gz" % ctx.attr.version, "")
    for file in ctx.files.srcs:
        arguments.add(file, format = "--file=%s=%%s" % file.basename)
    for file in ctx.files.license_texts:
        arguments.add(file, format = "--file=licenses/%s=%%s" % file.basename)
    return _write(ctx, output, arguments, ctx.files.srcs)

release_tar = rule(
    doc = "A tar with the runner, what it needs, its licences and `srcs`.",
    implementation = _release_tar_impl,
    attrs = _ARCHIVE | {
        "srcs": attr.label_list(allow_files = True),
        "_maker": attr.label(default = "//build/release:make_tar", executable = True, cfg = "exec"),
    },
)

def _files_of(programs):
    """The house's own files that the programs need, and the distributions of the lock."""
    own, distributions, launchers = [], {}, {}
    for program in programs:
        launchers[program[DefaultInfo].files_to_run.executable] = True
    for file in depset(transitive = [p[DefaultInfo].default_runfiles.files for p in programs]).to_list():
        repository, _, distribution = file.owner.workspace_name.rpartition("python_deps_")
        if repository:
            distributions[distribution] = True
        elif not file.owner.workspace_name and file not in launchers:
            own.append(file)
    return own, sorted(distributions)

def _release_wheel_impl(ctx):
    package = "gemma_executorch/"
    name = "gemma_executorch-%s-py3-none-linux_x86_64.whl" % ctx.attr.version
    output, arguments = _common(ctx, name, package + "bin/")
    own, distributions = _files_of(ctx.attr.programs)
    for file in own:
        arguments.add(file, format = "--file=%s%s=%%s" % (package, file.short_path))
    for file in ctx.files.srcs:
        arguments.add(file, format = "--file=%s%s=%%s" % (package, file.basename))
    arguments.add_all(ctx.files.license_texts, format_each = "--license=%s")
    arguments.add_all(distributions, format_each = "--distribution=%s")
    arguments.add(ctx.file.lock, format = "--lock=%s")
    arguments.add(ctx.file.pythons, format = "--pythons=%s")
    return _write(ctx, output, arguments, own + ctx.files.srcs + [ctx.file.lock, ctx.file.pythons])

release_wheel = rule(
    doc = "A wheel with Python programs, what they need of this repository, and the runner.",
    implementation = _release_wheel_impl,
    attrs = _ARCHIVE | {
        "lock": attr.label(doc = "Where the versions of what it requires stand.", allow_single_file = True),
        "programs": attr.label_list(doc = "py_binaries."),
        "pythons": attr.label(doc = "The versions of Python that it runs on, oldest first.", allow_single_file = True),
        "srcs": attr.label_list(doc = "The package's own modules.", allow_files = True),
        "_maker": attr.label(default = "//build/release:make_wheel", executable = True, cfg = "exec"),
    },
)
