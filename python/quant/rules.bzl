"""quantized_checkpoint: a quantized folder made inside a build, by the same program as `bazelw run //python/quant:...`.

    quantized_checkpoint(
        name = "gemma4_31b_calibrated",
        calibration_text = "text.txt",
        checkpoint = "@gemma4_31b//:checkpoint",
        recipe = "calibrated",
    )

gives a folder that `exported_model` takes. What must stay true: the same inputs give the same bytes, on any machine; so
the number of threads is the rule's, since sums of products depend on it.
"""

load("//python/export:rules.bzl", "checkpoint_path")

def _quantized_checkpoint_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    arguments = ctx.actions.args()
    arguments.add("--checkpoint", checkpoint_path(ctx.files.checkpoint))
    arguments.add("--output", folder.path)
    arguments.add("--recipe", ctx.file.recipe_file or ctx.attr.recipe)
    if ctx.file.calibration_text:
        arguments.add("--calibration_text", ctx.file.calibration_text)
        if ctx.attr.calibration_tokens:
            arguments.add("--calibration_tokens", ctx.attr.calibration_tokens)

    # Bazel makes the folder before the action runs; the program replaces it.
    arguments.add_all(["--overwrite", "--quiet", "--progress", "none"])
    ctx.actions.run(
        executable = ctx.executable.program,
        arguments = [arguments],
        inputs = depset(ctx.files.checkpoint + ctx.files.recipe_file + ctx.files.calibration_text),
        outputs = [folder],
        env = {"OMP_NUM_THREADS": str(ctx.attr.threads)},
        mnemonic = "GemmaQuantize",
        progress_message = "Quantizing %{label}",
    )
    return [DefaultInfo(files = depset([folder]), runfiles = ctx.runfiles(files = [folder]))]

quantized_checkpoint = rule(
    doc = "Quantizes a checkpoint to a folder that transformers, vLLM and `exported_model` read.",
    implementation = _quantized_checkpoint_impl,
    attrs = {
        "calibration_text": attr.label(doc = "A UTF-8 text, for recipes that need one.", allow_single_file = True),
        "calibration_tokens": attr.int(doc = "Tokens of the text to use at most; 0: the program's default."),
        "checkpoint": attr.label(
            doc = "A folder that a rule made, the files of one, or a GGUF in plain numbers.",
            allow_files = True,
            mandatory = True,
        ),
        "program": attr.label(
            doc = "The program that quantizes.",
            cfg = "exec",
            default = "//python/quant:gemma4_31b",
            executable = True,
        ),
        "recipe": attr.string(doc = "A named recipe.", default = "default"),
        "recipe_file": attr.label(doc = "A recipe file, instead of `recipe`.", allow_single_file = [".json"]),
        "threads": attr.int(default = 1),
    },
)
