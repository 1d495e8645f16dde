"""cc_library, cc_test and cc_binary of our own code: those of rules_cc, with the headers of most sources precompiled.

Parsing abseil's status and googletest is most of what compiling a small source takes. Only gcc is given the precompiled
headers: clang builds (--config=fuzz) prove that every source includes what it needs.
"""

load("@rules_cc//cc:cc_binary.bzl", _cc_binary = "cc_binary")
load("@rules_cc//cc:cc_library.bzl", _cc_library = "cc_library")
load("@rules_cc//cc:cc_test.bzl", _cc_test = "cc_test")

# A test's own source need not be fast, which takes a quarter of its compile time. What it tests stays as it is.
TEST_COPTS = select({
    "//build/cc:optimized": ["-O1"],
    "//conditions:default": [],
})

# gcc forgets that a header is the system's once it is precompiled, and warns of what libstdc++'s strings do.
_FALSE_WARNINGS = ["-Wno-array-bounds", "-Wno-restrict", "-Wno-stringop-overflow"]

def _precompiled(header):
    """Returns the options and the dependency of a source that begins with the precompiled `header`."""
    package, _, name = header.removeprefix("//").partition(":")
    return (
        select({
            "//build/cc:gcc": ["-include", "%s/%s.h" % (package, name)] + _FALSE_WARNINGS,
            "//conditions:default": [],
        }),
        select({
            "//build/cc:gcc": [header],
            "//conditions:default": [],
        }),
    )

def _with_header(header, deps, copts):
    """Returns `deps` and `copts` with the precompiled `header`, if no other option than warnings is among `copts`."""
    if type(copts) != "list" or [option for option in copts if not option.startswith("-W")]:
        return deps, copts
    options, dependency = _precompiled(header)
    return deps + dependency, copts + options

def cc_library(name, srcs = [], deps = [], copts = [], **kwargs):
    """cc_library as a static library only, with precompiled headers.

    Args:
      name: the library.
      srcs: its sources.
      deps: its dependencies.
      copts: its options; where one is no warning, no header is precompiled.
      **kwargs: passed on.
    """
    if srcs:
        deps, copts = _with_header("//build/cc:library", deps, copts)
    _cc_library(name = name, srcs = srcs, deps = deps, copts = copts, linkstatic = True, **kwargs)

def cc_test(name, deps = [], copts = [], **kwargs):
    """cc_test with precompiled headers, googletest's too.

    Args:
      name: the test.
      deps: its dependencies.
      copts: its options; where one is no warning, no header is precompiled.
      **kwargs: passed on.
    """
    deps, copts = _with_header("//build/cc:test", deps, copts)
    _cc_test(name = name, deps = deps, copts = copts + TEST_COPTS, **kwargs)

def cc_binary(name, srcs = [], deps = [], copts = [], testonly = False, **kwargs):
    """cc_binary with precompiled headers, those of a test where it is `testonly`.

    Args:
      name: the program.
      srcs: its sources.
      deps: its dependencies.
      copts: its options; where one is no warning, no header is precompiled.
      testonly: whether only tests use it.
      **kwargs: passed on.
    """
    if srcs:
        deps, copts = _with_header("//build/cc:test" if testonly else "//build/cc:library", deps, copts)
        copts = copts + (TEST_COPTS if testonly else [])
    _cc_binary(name = name, srcs = srcs, deps = deps, copts = copts, testonly = testonly, **kwargs)
