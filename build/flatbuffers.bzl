"""Readers of FlatBuffers schemas: in C++ with a verifier for bytes that nobody vouches for, and in Python."""

load("@rules_python//python:py_library.bzl", "py_library")
load("//build/cc:cc.bzl", "cc_library")

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

def flatbuffer_py_library(name, src, out, schemas = [], **kwargs):
    """A library whose one module reads what a schema describes.

    It checks nothing: bytes that nobody vouches for may raise any of Python's errors, but do nothing else.

    Args:
      name: the library.
      src: the schema.
      out: the module's file; the schema FOO.fbs gives FOO_generated.py.
      schemas: what the schema includes.
      **kwargs: passed on to py_library.
    """
    native.genrule(
        name = name + "_module",
        srcs = [src] + schemas,
        outs = [out],
        cmd = "$(execpath @flatbuffers//:flatc) --python --gen-onefile -o $(RULEDIR) $(execpath %s)" % src,
        tools = ["@flatbuffers//:flatc"],
        visibility = ["//visibility:private"],
    )
    py_library(
        name = name,
        srcs = [out],
        deps = ["@python_deps//:flatbuffers"],
        **kwargs
    )
