"""A licence for everything that is linked.

What MODULE.bazel names is in third_party/licenses, or listed here as what no release holds.
"""

import os
import pathlib
import re

# Rule sets and tools of the build, and libraries of tests.
NOT_LINKED = {"bazel_skylib", "platforms", "rules_cc", "rules_python", "rules_shell", "googletest"}
# Extensions whose files only builds and tests see. Python's packages are required, not packed.
NOT_PACKED = {"python", "checkpoints", "llama_cpp", "npm"}


def named() -> set[str]:
    module = pathlib.Path(os.environ["MODULE"]).read_text()
    modules = set(re.findall(r'bazel_dep\(name = "([^"]+)"', module))
    extensions = set(re.findall(r'use_extension\("//third_party/([^:"]+):', module))
    assert modules >= NOT_LINKED
    assert extensions >= NOT_PACKED
    return (modules - NOT_LINKED) | (extensions - NOT_PACKED)


def test_every_library_has_its_licence_and_no_other_is_there() -> None:
    files = [pathlib.Path(path) for path in os.environ["LICENSES"].split()]
    assert {path.stem for path in files} == named()
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert re.search(r"License|LICENSE|Permission is hereby granted|Redistribution", text), path
        assert len(text) > 900, path
