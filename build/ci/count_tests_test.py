"""The count is the count of single tests, and nothing that failed is lost."""

import json
import pathlib

import pytest

from build.ci import count_tests

REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><skipped/></testcase>
<testcase name="c" result="skipped"/>{more}</testsuite></testsuites>"""


def write_events(folder: pathlib.Path, events: list[count_tests.Event]) -> str:
    path = folder / "events.json"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def result(
    folder: pathlib.Path, status: str, more: str = "", label: str = "//a:test"
) -> count_tests.Event:
    report = folder / "test.xml"
    report.write_text(REPORT.format(more=more))
    key = {"label": label, "run": 1, "shard": 1, "attempt": 1}
    output = [{"name": "test.xml", "uri": report.as_uri()}]
    body = {"status": status, "testActionOutput": output}
    return {"id": {"testResult": key}, "testResult": body}


def test_single_tests_are_counted(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert count_tests.main(write_events(tmp_path, [result(tmp_path, "PASSED")])) == 0
    assert capsys.readouterr().out == "1 passed, 0 failed, 2 skipped\n"


@pytest.mark.parametrize("more", ["", '<testcase name="d"><failure/></testcase>'])
def test_a_failed_target_is_one_failure_at_least(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], more: str
) -> None:
    assert count_tests.main(write_events(tmp_path, [result(tmp_path, "FAILED", more)])) == 1
    assert capsys.readouterr().out == "1 passed, 1 failed, 2 skipped\n"


def test_a_target_that_was_not_built_failed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"id": {"targetCompleted": {"label": "//a:broken"}}, "completed": {}}
    unsuited = {"id": {"targetCompleted": {"label": "//a:gpu"}}, "aborted": {"reason": "SKIPPED"}}
    events = [result(tmp_path, "PASSED"), broken, unsuited]
    assert count_tests.main(write_events(tmp_path, events)) == 1
    assert capsys.readouterr().out == "1 passed, 1 failed, 3 skipped\n"


def test_no_test_is_a_failure(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert count_tests.main(write_events(tmp_path, [])) == 1
    assert capsys.readouterr().out == "0 passed, 0 failed, 0 skipped\n"
