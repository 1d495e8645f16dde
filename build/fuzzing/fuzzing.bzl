"""fuzz_test: from one harness a test that replays its corpus, and a program that libFuzzer drives."""

load("//build/cc:cc.bzl", "cc_binary", "cc_library", "cc_test")

def fuzz_test(name, deps, mutations = 1000, **kwargs):
    """The targets of the harness NAME.cc (build/fuzzing/harness.h), whose corpus is corpus/PARSER/ for PARSER_fuzz.

    NAME_test is part of `//...`: any compiler builds it, and it takes a second at most.
    NAME is what build/fuzzing/fuzz.sh builds, with --config=fuzz alone.

    Args:
      name: PARSER_fuzz.
      deps: what the harness includes.
      mutations: how many random changes of the corpus the test tries, always the same ones.
      **kwargs: passed on to the test.
    """
    corpus = native.glob(["corpus/%s/*" % name.removesuffix("_fuzz")], allow_empty = True)
    cc_library(
        name = name + "_harness",
        testonly = True,
        srcs = [name + ".cc"],
        deps = depset(deps + ["//build/fuzzing:harness"]).to_list(),
        alwayslink = True,
    )
    cc_test(
        name = name + "_test",
        size = "small",
        args = ["--mutations=%d" % mutations] + ["$(rootpath %s)" % file for file in corpus],
        data = corpus,
        deps = [
            ":%s_harness" % name,
            "//build/fuzzing:replay_main",
        ],
        **kwargs
    )
    cc_binary(
        name = name,
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        target_compatible_with = select({
            "//build/fuzzing:for_libfuzzer": [],
            "//conditions:default": ["@platforms//:incompatible"],
        }),
        deps = [
            ":%s_harness" % name,
            "//build/fuzzing:libfuzzer_main",
        ],
    )
