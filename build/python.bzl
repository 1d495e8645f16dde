"""Python: py_module is one module and its test, the usual stanza of the folders under python/."""

load("@rules_python//python:py_library.bzl", "py_library")
load("//build:testing.bzl", "pytest_test")

def py_module(name, deps = [], test = None, test_deps = [], test_env = {}, testonly = False, **kwargs):
    """The library `NAME` of NAME.py and, if `test` is given, the test `NAME_test` of NAME_test.py.

    Args:
      name: the module, without .py.
      deps: what the module imports.
      test: the size of its test; None: it has none, or one that is a pytest_test of its own.
      test_deps: what the test imports beyond the module and `deps`.
      test_env: the test's environment variables.
      testonly: whether tests alone may use the module.
      **kwargs: passed on to py_library.
    """
    py_library(
        name = name,
        testonly = testonly,
        srcs = [name + ".py"],
        deps = deps,
        **kwargs
    )
    if test:
        pytest_test(
            name = name + "_test",
            size = test,
            srcs = [name + "_test.py"],
            env = test_env,
            deps = [":" + name] + deps + test_deps,
        )
