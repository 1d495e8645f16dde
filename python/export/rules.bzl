"""exported_model: an artifact folder made inside a build, by the same program as `bazelw run //python/export:...`.

    exported_model(
        name = "gemma3_270m_artifact",
        checkpoint = "@gemma3_270m_gguf//:model.gguf",
        program = ":gemma3_270m",
        max_seq_len = 4096,
    )

gives the folder `gemma3_270m_artifact` (model.pte, model.ptd, manifest.json, tokenizer.bin where the checkpoint has a
tokenizer) and, in the output group `timings`, the seconds of each stage as JSON.
"""

def checkpoint_path(files):
    """What --checkpoint takes: the folder of a Hugging Face checkpoint, or the first part of a GGUF."""
    if len(files) == 1:
        return files[0].path
    for file in files:
        if file.basename == "config.json":
            return file.dirname
    return sorted([file.path for file in files])[0]

def _exported_model_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    timings = ctx.actions.declare_file(ctx.label.name + ".timings.json")
    checkpoint = ctx.files.checkpoint
    arguments = ctx.actions.args()
    arguments.add("--checkpoint", checkpoint_path(checkpoint))
    arguments.add("--output", folder.path)
    arguments.add("--timings", timings)
    arguments.add("--recipe", ctx.file.recipe_file or ctx.attr.recipe)
    arguments.add("--max_seq_len", ctx.attr.max_seq_len)
    if ctx.attr.max_prefill_chunk:
        arguments.add("--max_prefill_chunk", ctx.attr.max_prefill_chunk)
    if ctx.attr.allow_lossy:
        arguments.add("--allow_lossy")
    if ctx.attr.kv_cache_dtype:
        arguments.add("--kv_cache_dtype", ctx.attr.kv_cache_dtype)

    # Bazel makes the folder before the action runs; the program replaces it.
    arguments.add_all(["--overwrite", "--quiet"])
    ctx.actions.run(
        executable = ctx.executable.program,
        arguments = [arguments],
        inputs = depset(checkpoint + ctx.files.recipe_file),
        outputs = [folder, timings],
        mnemonic = "GemmaExport",
        progress_message = "Exporting %{label}",
    )
    return [
        DefaultInfo(
            files = depset([folder]),
            runfiles = ctx.runfiles(files = [folder]),
        ),
        OutputGroupInfo(timings = depset([timings])),
    ]

exported_model = rule(
    doc = "Exports a checkpoint to an artifact folder.",
    implementation = _exported_model_impl,
    attrs = {
        "allow_lossy": attr.bool(doc = "Round weights that no layout holds exactly as they are stored."),
        "checkpoint": attr.label(
            doc = "A .gguf file or the parts of one, a folder that a rule made, or the files of one.",
            allow_files = True,
            mandatory = True,
        ),
        "kv_cache_dtype": attr.string(
            doc = "The program's flag; its own default where it is empty.",
        ),
        "max_prefill_chunk": attr.int(doc = "Tokens of one call; 0: the program's default."),
        "max_seq_len": attr.int(doc = "Positions that a session can hold.", mandatory = True),
        "program": attr.label(
            doc = "The export program, which knows the model's defaults.",
            cfg = "exec",
            default = "//python/export:gemma4_31b",
            executable = True,
        ),
        "recipe": attr.string(doc = "A named recipe.", default = "none"),
        "recipe_file": attr.label(doc = "A recipe file, instead of `recipe`.", allow_single_file = [".json"]),
    },
)

def _tiny_checkpoint_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    arguments = ctx.actions.args()
    arguments.add("--output", folder.path)
    arguments.add("--dtype", ctx.attr.dtype)
    arguments.add("--num_layers", ctx.attr.num_layers)
    arguments.add("--window", ctx.attr.window)
    arguments.add("--seed", ctx.attr.seed)
    if ctx.attr.only_token >= 0:
        arguments.add("--only_token", ctx.attr.only_token)
    arguments.add("--overwrite")
    ctx.actions.run(
        executable = ctx.executable._program,
        arguments = [arguments],
        outputs = [folder],
        mnemonic = "TinyCheckpoint",
        progress_message = "Making the checkpoint %{label}",
    )
    return [DefaultInfo(files = depset([folder]), runfiles = ctx.runfiles(files = [folder]))]

tiny_checkpoint = rule(
    doc = "A Hugging Face folder with a tiny Gemma 4, random weights and a small tokenizer.",
    implementation = _tiny_checkpoint_impl,
    attrs = {
        "dtype": attr.string(default = "float32", values = ["bfloat16", "float16", "float32"]),
        "num_layers": attr.int(default = 6),
        "only_token": attr.int(
            doc = "The checkpoint suppresses every other id; -1: none.",
            default = -1,
        ),
        "seed": attr.int(default = 0),
        "window": attr.int(default = 16),
        "_program": attr.label(
            cfg = "exec",
            default = "//python/export/testing:make_tiny_checkpoint",
            executable = True,
        ),
    },
)
