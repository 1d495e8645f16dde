"""exported_shape: the plans of a model's shape without its weights, as an artifact folder of a few hundred kilobytes."""

def _exported_shape_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    arguments = ctx.actions.args()
    arguments.add("--model", ctx.attr.model)
    arguments.add("--max_seq_len", ctx.attr.max_seq_len)
    arguments.add("--output", folder.path)

    # Bazel makes the folder before the action runs; the program replaces it.
    arguments.add("--overwrite")
    ctx.actions.run(
        executable = ctx.executable._program,
        arguments = [arguments],
        outputs = [folder],
        mnemonic = "GemmaExportShape",
        progress_message = "Exporting %{label}",
    )
    return [DefaultInfo(files = depset([folder]), runfiles = ctx.runfiles(files = [folder]))]

exported_shape = rule(
    doc = "Exports a model's shape; run it with --random_weights.",
    implementation = _exported_shape_impl,
    attrs = {
        "max_seq_len": attr.int(doc = "Positions that a session can hold.", mandatory = True),
        "model": attr.string(doc = "A name of python/model/named_configs.", mandatory = True),
        "_program": attr.label(default = "//python/export:export_shape", cfg = "exec", executable = True),
    },
)
