"""Tests of sizes."""

import pytest

from python.console import sizes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (9994, "9.99 kB"), (9996, "10.0 kB"),
        (99_940, "99.9 kB"),
        (999_499, "999 kB"), (999_500, "1.00 MB"), (62_500_000_000, "62.5 GB"), (5e15, "5000 TB"),
    ],
)  # fmt: skip
def test_format_bytes(count: float, text: str) -> None:
    assert sizes.format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (0.9, "0:00"), (75, "1:15"), (3599, "59:59"), (3675, "1:01:15")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert sizes.format_duration(seconds) == text
