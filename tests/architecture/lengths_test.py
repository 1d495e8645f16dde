"""Lines of functions and classes, on the forms that our code has."""

import pytest

from tests.architecture import lengths

SOURCE = """\
#include <vector>
// Not a function() {
namespace gemma {
namespace {

constexpr int kTable[] = {1, 2, 3};

template <int kTokens, class T = std::vector<int>>
GEMMA_GLOBAL void __launch_bounds__(kThreads) Kernel(
    const Params params) {
  if (params.x) {
    Call({.a = 1}, [&](int i) { return i; });
  }
}

enum class Form : uint8_t { kOne, kTwo };

struct Options {
  int threads = 0;
  std::vector<int> ids = {};
};

class Reader final : public Base<int> {
 public:
  explicit Reader(int a)
      : a_(a), b_{2} {}
  bool operator==(const Reader&) const = default;
  int Get() const override {
    const char brace = '{';
    return a_ + std::strlen("}}") + brace;
  }

 private:
  int a_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Reader>> Reader::Make(
    int a) {
  return nullptr;
}

}  // namespace gemma
"""


def test_cxx() -> None:
    assert list(lengths.cxx_spans(SOURCE)) == [
        ("function", "Kernel", 7),
        ("class", "Options", 4),
        ("function", "Get", 4),
        ("class", "Reader", 13),
        ("function", "Reader::Make", 4),
    ]


@pytest.mark.parametrize(("lines", "found"), [(79, []), (80, [("f", 81)])])
def test_python(lines: int, found: list[tuple[str, int]]) -> None:
    text = "def f():\n" + "    pass\n" * lines
    assert list(lengths.too_long("a.py", text)) == found


@pytest.mark.parametrize(("lines", "found"), [(77, []), (79, [("F", 81)])])
def test_a_function_of_cxx(lines: int, found: list[tuple[str, int]]) -> None:
    text = "void F() {\n" + "  G();\n" * lines + "}\n"
    assert list(lengths.too_long("a.cc", text)) == found


def test_a_class() -> None:
    text = "class A {\n" + "  int a;\n" * 299 + "};\n"
    assert list(lengths.too_long("a.h", text)) == [("A", 301)]
