"""Whether a job fits into this machine: what it needs against what there is, and the remedy."""

from collections.abc import Iterable
from dataclasses import dataclass

from python.console import sizes
from python.console.listing import Table


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes of one kind that a job needs. `available` is 0 where the machine does not tell."""

    what: str  # for instance "disk at /out"
    needed: int
    available: int
    remedy: str

    @property
    def fits(self) -> bool | None:
        """None: it is not known."""
        return self.needed <= self.available if self.available else None

    def sentence(self) -> str:
        """The thing, both numbers, the remedy."""
        needed, available = sizes.format_bytes(self.needed), sizes.format_bytes(self.available)
        return f"{self.what}: {needed} are needed, {available} are available ({self.remedy})"


def table(needs: Iterable[Need]) -> Table:
    """A row a need; a remedy where it does not fit."""
    rows = tuple(
        (need.what, need.needed, need.available or None, need.fits,
         need.remedy if need.fits is False else None)
        for need in needs
    )  # fmt: skip
    columns = ("what", "needed_bytes", "available_bytes", "fits", "remedy")
    return Table(columns=columns, rows=rows)


def problem(needs: Iterable[Need]) -> str | None:
    """The sentence of the first need that does not fit."""
    return next((need.sentence() for need in needs if need.fits is False), None)
