"""Answers of a model that has learned nothing parse and validate, whatever the schema.

Every token is drawn from random logits among those that the constraint allows, without and with
thinking, as an answer and as the arguments of a tool call. The judge is `jsonschema`. Of formats it
judges `uuid` alone: a grammar does not know which month has 31 days.
"""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema

ANSWERS = int(os.environ.get("ANSWERS", "500"))

FORMATS = jsonschema.FormatChecker(formats=["uuid"])


def runfile(variable: str) -> Path:
    """The file of this test's that an environment variable names."""
    return Path(os.environ.get("TEST_SRCDIR", ""), os.environ[variable])


def answers(count: int, seed: int) -> list[dict[str, Any]]:
    """So many answers over all schemas in turn."""
    done = subprocess.run(
        [str(runfile("RANDOM_ANSWERS")), str(runfile("SCHEMAS")), str(count), str(seed)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_answer_parses_and_validates() -> None:
    schemas = json.loads(runfile("SCHEMAS").read_text(encoding="utf-8"))
    kinds = Counter[str]()
    for answer in answers(ANSWERS, seed=1):
        schema = schemas[answer["schema"]]
        value = json.loads(answer["content"])
        validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
        assert validator.is_valid(value), (schema, answer["content"])
        kinds["thought"] += bool(answer["thought"])
        kinds["tool"] += answer["tool"]
        kinds["thinking"] += answer["thinking"]
    assert kinds["thinking"] > ANSWERS // 3 and kinds["tool"] > ANSWERS // 20
    assert kinds["thought"] > 0
    print(f"{ANSWERS} answers over {len(schemas)} schemas parse and validate: {dict(kinds)}")
