"""XGrammar's C++ core as @xgrammar: from a grammar or a JSON schema to the tokens that may come next.

Compiled from the source archive that xgrammar.lock pins, with one change: the quote token of Gemma 4's tool calls is
one private byte (cc/text/make_constraint_compiler.cc says why), which stands for a special token, never for its spelling.
"""

load("//third_party/python:lock.bzl", "parse_lock")
load("//third_party/python:source.bzl", "download_source")

_VERSION = "0.2.9"
_QUOTE = 'kGemmaStringDelim = "<|\\"|>";'
_PRIVATE_QUOTE = 'kGemmaStringDelim = "\\x02";'

def _xgrammar_impl(rctx):
    requirement = parse_lock(rctx.read(rctx.attr.lock))["xgrammar"]
    download_source(rctx, requirement, rctx.attr.lock.name, "scikit_build_core/build.py", "xgrammar-" + _VERSION)
    for unused in ["3rdparty/googletest", "3rdparty/cpptrace", "cpp/tvm_ffi", "python", "tests", "web"]:
        rctx.delete("source/" + unused)
    converter = rctx.read("source/cpp/converter_ext/gemma.cc")
    if converter.count(_QUOTE) != 1:
        fail("xgrammar %s: cpp/converter_ext/gemma.cc does not define the quote of tool calls as expected" % _VERSION)
    rctx.file("source/cpp/converter_ext/gemma.cc", converter.replace(_QUOTE, _PRIVATE_QUOTE))
    rctx.symlink(rctx.attr._messages, "messages/messages.cc")
    rctx.symlink(rctx.attr._messages_header, "messages/xgrammar_messages.h")
    rctx.template("BUILD.bazel", rctx.attr._build_file)

_xgrammar = repository_rule(
    implementation = _xgrammar_impl,
    attrs = {
        "lock": attr.label(doc = "The archive with its digest."),
        "_build_file": attr.label(default = "//third_party/xgrammar:xgrammar.BUILD"),
        "_messages": attr.label(default = "//third_party/xgrammar:messages.cc"),
        "_messages_header": attr.label(default = "//third_party/xgrammar:messages.h"),
    },
)

xgrammar = module_extension(
    implementation = lambda _: _xgrammar(name = "xgrammar", lock = "//third_party/xgrammar:xgrammar.lock"),
)
