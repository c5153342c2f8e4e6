"""Ratios, their spread, and what they should be."""

from __future__ import annotations

import statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MISSED = "MISSED"


class Figure:
    """One thing measured: the median of ``values``, and the ``target`` it should not exceed, if there is one.

    ``exact``: counted, not measured, so no tolerance.  ``least``: the target is what it should not be below.
    """

    def __init__(self, name: str, values: Sequence[float], target: float | None = None, *, exact: bool = False) -> None:
        self.name = name
        self.values = values
        self.target = target
        self.exact = exact
        self.least = False

    @property
    def median(self) -> float:
        """What is judged."""
        return statistics.median(self.values)

    def spread(self) -> str:
        """The middle half of the values."""
        if len(self.values) < 4:
            return ""
        low, _, high = statistics.quantiles(self.values, n=4)
        return f"{low:.2f} to {high:.2f}"

    def missed(self, tolerance: float) -> bool:
        """Whether it is beyond its target by more than the tolerance (0.1: a tenth)."""
        if self.target is None:
            return False
        allowed = 0 if self.exact else tolerance
        if self.least:
            return self.median < self.target * (1 - allowed)
        return self.median > self.target * (1 + allowed)

    def row(self, tolerance: float) -> str:
        """Its line in the table."""
        value = f"{self.median:.0f}" if self.exact else f"{self.median:.2f}"
        target = "" if self.target is None else f"{self.target:g}"
        verdict = MISSED if self.missed(tolerance) else ""
        return f"  {self.name:<60}{value:>8}  {self.spread():<16}{target:>6}  {verdict}".rstrip()


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], target: float | None = None) -> Figure:
    """Ours by theirs, round by round: what slows the machine down in a round slows both."""
    return Figure(name, [mine / other for mine, other in zip(ours, theirs, strict=True)], target)


def head(title: str) -> str:
    """A part of the table."""
    return f"\n{title}\n  {'':<60}{'median':>8}  {'middle half':<16}{'target':>6}"
