"""Counts the tests of one `bazel test` run, as `N passed, N failed, N skipped`.

Usage: count_tests.py EVENTS.json, the file that --build_event_json_file wrote. Single tests are
counted, from the report that each target leaves; a target that was not built or left no report
counts as one. Exit code: 1 if anything failed or nothing passed.
"""

import collections
import json
import pathlib
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree
from typing import Any

Event = dict[str, Any]
Key = tuple[str, int | None, int | None]


def read_events(path: str) -> list[Event]:
    """The events; a run that was cut off leaves a last line that is none."""
    events = []
    for line in pathlib.Path(path).read_text().splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return events


def last_attempts(events: list[Event]) -> dict[Key, Event]:
    """The last result of every run and shard of every test target."""
    results: dict[Key, Event] = {}
    for event in events:
        if (key := event["id"].get("testResult")) and "testResult" in event:
            results[key["label"], key.get("run"), key.get("shard")] = event["testResult"]
    return results


def count_case(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None or case.get("result") in ("skipped", "suppressed"):
        return "skipped"
    return "passed"


def count_result(result: Event) -> collections.Counter[str]:
    """The single tests of one report. A failure that the report does not show counts as one."""
    counts: collections.Counter[str] = collections.Counter()
    reports = [o["uri"] for o in result.get("testActionOutput", []) if o["name"] == "test.xml"]
    for uri in reports:
        try:
            root = ElementTree.parse(urllib.parse.unquote(urllib.parse.urlparse(uri).path))  # noqa: S314
        except (OSError, ElementTree.ParseError):
            continue
        counts.update(count_case(case) for case in root.iter("testcase"))
    if result["status"] == "PASSED":
        return counts or collections.Counter(passed=1)
    return counts if counts["failed"] else counts + collections.Counter(failed=1)


def count_targets_without_result(events: list[Event], seen: set[str]) -> collections.Counter[str]:
    """Test targets that did not run: not built is failed, not for this machine is skipped."""
    counts: collections.Counter[str] = collections.Counter()
    for event in events:
        target = event["id"].get("targetConfigured") or event["id"].get("targetCompleted")
        if not target or target["label"] in seen:
            continue
        reason = event.get("aborted", {}).get("reason")
        if reason == "SKIPPED":
            seen.add(target["label"])
            counts["skipped"] += 1
        elif reason or not event.get("completed", {}).get("success", "configured" in event):
            seen.add(target["label"])
            counts["failed"] += 1
    return counts


def main(path: str) -> int:
    events = read_events(path)
    results = last_attempts(events)
    counts: collections.Counter[str] = collections.Counter()
    for result in results.values():
        counts += count_result(result)
    counts += count_targets_without_result(events, {label for label, _, _ in results})
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
