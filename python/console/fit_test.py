"""Tests of fit: the verdict, its sentence and its table."""

from python.console import fit
from python.console.listing import Listing, to_text

DISK = fit.Need(what="disk at /out", needed=3 * 10**9, available=2 * 10**9, remedy="make room")
MEMORY = fit.Need(what="memory", needed=10**9, available=10**9, remedy="end other programs")
UNKNOWN = fit.Need(what="GPU memory", needed=1, available=0, remedy="none")


def test_what_fits() -> None:
    assert (DISK.fits, MEMORY.fits, UNKNOWN.fits) == (False, True, None)
    assert fit.problem([MEMORY, UNKNOWN]) is None
    sentence = "disk at /out: 3.00 GB are needed, 2.00 GB are available (make room)"
    assert fit.problem([MEMORY, DISK]) == sentence


def test_the_table_names_a_remedy_where_one_is_needed() -> None:
    listing = Listing(
        kind="dry run", path="/x", facts={}, tables={"fit": fit.table([DISK, MEMORY, UNKNOWN])}
    )
    assert to_text(listing).splitlines()[-3:] == [
        "disk at /out  3.00 GB         2.00 GB            no      make room",
        "memory        1.00 GB         1.00 GB            yes     -",
        "GPU memory    1 B             -                  -       -",
    ]
