"""C++ readers of FlatBuffers schemas, with a verifier for bytes that nobody vouches for."""

load("@rules_cc//cc:cc_library.bzl", "cc_library")

def flatbuffer_cc_library(name, src, **kwargs):
    """A library whose header `FOO_generated.h` reads, writes and verifies what the schema `FOO.fbs` describes.

    Args:
      name: the library.
      src: the schema, in this package.
      **kwargs: passed on to cc_library.
    """
    header = src.removesuffix(".fbs") + "_generated.h"
    native.genrule(
        name = name + "_header",
        srcs = [src],
        outs = [header],
        cmd = "$(execpath @flatbuffers//:flatc) --cpp --cpp-std c++17 --scoped-enums --warnings-as-errors " +
              "-o $(RULEDIR) $(execpath %s)" % src,
        tools = ["@flatbuffers//:flatc"],
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = name,
        hdrs = [header],
        deps = ["@flatbuffers//:runtime_cc"],
        **kwargs
    )
