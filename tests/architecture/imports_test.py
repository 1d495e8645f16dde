"""What a source names is found, whatever it is written like; circles are found, whatever their length."""

import pytest

from tests.architecture import imports

FILES = dict.fromkeys(["cc/a/x.h", "python/a/x.py", "python/a/y.py"], "")


@pytest.mark.parametrize(
    ("path", "text", "uses"),
    [
        ("cc/b/x.cc", '#include "cc/a/x.h"\n  #  include <vector>\n', ["cc/a/x.h", "vector"]),
        ("cc/b/x.cc", "#include <executorch/runtime/core/error.h>", ["executorch"]),
        ("cc/b/x.cc", '#include "cc/plan/plan_generated.h"', ["cc/plan/plan_generated.h"]),
        ("cc/b/x.cc", '// #include "cc/a/x.h"\n', []),
        ("python/b/x.py", "from python.a import x, y", ["python/a/x.py", "python/a/y.py"]),
        ("python/b/x.py", "from python.a.x import Name", ["python/a/x.py"]),
        ("python/b/x.py", "def f():\n    import python.a.y\n", ["python/a/y.py"]),
        ("python/b/x.py", "import torch.nn as nn\nfrom torch import nn", ["torch", "torch"]),
    ],
)
def test_uses(path: str, text: str, uses: list[str]) -> None:
    assert list(imports.uses_of(path, text, FILES)) == uses


@pytest.mark.parametrize(
    ("path", "product"),
    [
        ("cc/engine/engine.h", True),
        ("cc/kernels/cuda/gemm/int4.cu", True),
        ("cc/engine/manifest_test.cc", False),
        ("cc/engine/manifest_fuzz.cc", False),
        ("cc/plan/testing/plan_writer.cc", False),
        ("python/plan/testing/fake_plan.py", False),
        ("cc/engine/BUILD.bazel", False),
        ("cc/plan/plan.fbs", False),
    ],
)
def test_tests_and_data_are_no_product(path: str, product: bool) -> None:
    assert imports.is_product(path) == product


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b", "c"}, "b": {"c"}}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"c": {"a"}, "a": {"b"}, "b": {"c"}}, ["a", "b", "c", "a"]),
    ],
)
def test_circles(edges: dict[str, set[str]], found: list[str]) -> None:
    assert imports.circle(edges) == found
