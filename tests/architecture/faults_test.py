"""Each way to break the house is found and said in one sentence; a sound one has no fault."""

import pytest

from tests.architecture import faults, rooms

LIST = """
[[room]]
folder = "python/low"
holds = "x"
uses = []
libraries = ["torch"]

[[room]]
folder = "cc/low"
holds = "x"
uses = []

[[room]]
folder = "cc/high"
with = ["inner"]
holds = "x"
uses = ["cc/low"]

[libraries]
executorch = ["cc/high/loader"]

[too_long]
"cc/low/a.h:Old" = 310
"""
SOUND = {
    "python/low/a.py": "import os, torch",
    "cc/low/a.h": "class Old {\n" + "int a;\n" * 308 + "};\n",
    "cc/low/a_test.cc": '#include "cc/high/a.h"\n#include "cc/low/testing/b.h"',
    "cc/low/testing/b.h": '#include "cc/high/a.h"',
    "cc/high/a.h": '#include "cc/low/a.h"',
    "cc/high/inner/b.h": '#include "cc/high/a.h"',
    "cc/high/loader.cc": "#include <executorch/a.h>",
}
HOUSE = rooms.read(LIST)
CHECKS = (faults.rooms_missing, faults.wrong_uses, faults.wrong_libraries, faults.too_long)


def found(changes: dict[str, str]) -> list[str]:
    files = {path: text for path, text in (SOUND | changes).items() if text != "gone"}
    return [sentence for check in CHECKS for sentence in check(HOUSE, files)] + faults.circle(files)


def test_a_sound_house() -> None:
    assert found({}) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cc/new/a.cc": ""}, "cc/new is no room of rooms.toml"),
        ({"cc/high/deep/a.cc": ""}, "cc/high/deep is no room of rooms.toml"),
        ({"python/low/a.py": "gone"}, "python/low holds no product code"),
        (
            {"cc/low/b.h": '#include "cc/high/inner/b.h"'},
            "cc/low/b.h uses cc/high/inner/b.h, but cc/low may not use cc/high",
        ),
        (
            {"cc/high/b.cc": '#include "cc/low/testing/b.h"'},
            "cc/high/b.cc is product code and uses cc/low/testing/b.h, which is for tests",
        ),
        (
            {"cc/high/b.cc": '#include "cc/low/fake_a.h"', "cc/low/fake_a.h": ""},
            "cc/high/b.cc is product code and uses cc/low/fake_a.h, which is for tests",
        ),
        (
            {"cc/high/b.cc": "#include <executorch/a.h>"},
            "cc/high/b.cc uses executorch, which is for cc/high/loader alone",
        ),
        (
            {"python/low/b.py": "import numpy"},
            "python/low/b.py uses numpy, but python/low may use no such library",
        ),
        (
            {"cc/low/c.h": '#include "cc/low/d.h"', "cc/low/d.h": '#include "cc/low/c.h"'},
            "a circle: cc/low/c.h -> cc/low/d.h -> cc/low/c.h",
        ),
        (
            {"cc/low/a.h": "class Old {\n" + "int a;\n" * 309 + "};\n"},
            "cc/low/a.h:Old has 311 lines (at most 310)",
        ),
        (
            {"cc/low/a.h": "class Old {};"},
            "cc/low/a.h:Old is short enough now: take it from rooms.toml, too_long",
        ),
        (
            {"cc/low/b.h": "void F() {\n" + "G();\n" * 80 + "}\n"},
            "cc/low/b.h:F has 82 lines (at most 80 lines a function, 300 a class)",
        ),
    ],
)
def test_a_fault(changes: dict[str, str], sentence: str) -> None:
    assert found(changes) == [sentence]


@pytest.mark.parametrize("uses", ['["cc/b"]', '["cc/a"]', '["cc/nowhere"]'])
def test_a_room_uses_only_what_stands_above_it(uses: str) -> None:
    text = f"""
[[room]]
folder = "cc/a"
holds = "x"
uses = {uses}
[[room]]
folder = "cc/b"
holds = "x"
uses = []
[libraries]
[too_long]
"""
    with pytest.raises(ValueError, match="list it above"):
        rooms.read(text)
