"""XGrammar's C++ core as @xgrammar: from a grammar or a JSON schema to the tokens that may come next.

Compiled from the source archive that xgrammar.lock pins, with the changes below.
"""

load("//third_party/python:lock.bzl", "parse_lock")
load("//third_party/python:source.bzl", "download_source")

_VERSION = "0.2.9"

# What is changed in its source, each as (file, what stands there, what shall).
_CHANGES = [
    # The quote token of Gemma 4's tool calls is one private byte (cc/text/make_constraint_compiler.cc says why).
    ("converter_ext/gemma.cc", 'kGemmaStringDelim = "<|\\"|>";', 'kGemmaStringDelim = "\\x02";'),
    # An escape of a grammar's text ends where it should: \\x05 before the letters "ca" was read as \\x5ca.
    (
        "support/encoding.h",
        "codepoint <= 0xFF ? 'x' : codepoint <= 0xFFFF ? 'u' : 'U'",
        "codepoint <= 0xFFFF ? 'u' : 'U'",
    ),
    ("support/encoding.h", "codepoint <= 0xFF ? 2 : codepoint <= 0xFFFF ? 4 : 8", "codepoint <= 0xFFFF ? 4 : 8"),
    # A string with minLength or maxLength has no control characters either, which JSON forbids.
    (
        "json_schema_converter.cc",
        "AddCharacterClass({{'\"', '\"'}, {'\\\\', '\\\\'},",
        "AddCharacterClass({{0, 0x1f}, {'\"', '\"'}, {'\\\\', '\\\\'},",
    ),
    # A number's exponent has at most two digits: 1e2788 is beyond float64, so readers do not take it as a number.
    (
        "json_schema_converter.cc",
        """{{'+', '+'}, {'-', '-'}})}),
            one_or_more_digits}""",
        """{{'+', '+'}, {'-', '-'}})}),
            Repeat(rule_name + "_exponent", builder_.AddCharacterClass({{'0', '9'}}), 1, 2)}""",
    ),
    # A string with a pattern is JSON: what no automaton can be made for, or would need a character that JSON writes
    # as an escape, is an error instead of a grammar without that promise. Characters beyond ASCII have automata, too.
    (
        "json_schema_converter.cc",
        "return character >= 0x20 && character <= 0x7e;",
        "return character >= 0x20;",
    ),
    (
        "json_schema_converter.cc",
        "  // Keep regex conversion independent. Only the uncommon fallback path",
        """  if (json_string) {
    XGRAMMAR_LOG(FATAL) << "no JSON string without escapes is known to match the pattern " << regex;
  }
  // Keep regex conversion independent. Only the uncommon fallback path""",
    ),
    # A surrogate is no character: its three bytes are not UTF-8, and are read as three characters.
    (
        "grammar_functor.cc",
        """{0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
  for (uint32_t width_end : width_ends) {""",
        """{0x7F, 0x7FF, 0xD7FF, 0xFFFF, 0x10FFFF};
  for (uint32_t width_end : width_ends) {
    if (low >= 0xD800 && low <= 0xDFFF) low = 0xE000;""",
    ),
    # The same in a pattern, which has no overlong characters either.
    (
        "fsm_builder.cc",
        """      AddPackedUTF8RangeEdges(
          *fsm, from, to, CodepointToPackedUTF8(multi_byte_low), CodepointToPackedUTF8(high)
      );""",
        """      for (uint32_t end : {0x7FFu, 0xD7FFu, 0xFFFFu, 0x10FFFFu}) {
        if (multi_byte_low >= 0xD800 && multi_byte_low <= 0xDFFF) multi_byte_low = 0xE000;
        end = std::min<uint32_t>(end, high);
        if (multi_byte_low > end) continue;
        AddPackedUTF8RangeEdges(
            *fsm, from, to, CodepointToPackedUTF8(multi_byte_low), CodepointToPackedUTF8(end)
        );
        multi_byte_low = end + 1;
      }""",
    ),
]

def _xgrammar_impl(rctx):
    requirement = parse_lock(rctx.read(rctx.attr.lock))["xgrammar"]
    download_source(rctx, requirement, rctx.attr.lock.name, "scikit_build_core/build.py", "xgrammar-" + _VERSION)
    for unused in ["3rdparty/googletest", "3rdparty/cpptrace", "cpp/tvm_ffi", "python", "tests", "web"]:
        rctx.delete("source/" + unused)
    for file, old, new in _CHANGES:
        text = rctx.read("source/cpp/" + file)
        if text.count(old) != 1:
            fail("xgrammar %s: cpp/%s does not have %s as expected" % (_VERSION, file, old))
        rctx.file("source/cpp/" + file, text.replace(old, new))
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
