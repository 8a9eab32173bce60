"""Verdicts on claims: they hold, do not hold, or are undecided, by one rule from figures and intervals.

A claim of a paper is a figure and a range. It holds if the whole 95 % interval of the figure lies inside the range,
does not hold if the whole interval lies outside, and is undecided otherwise. Below LEAST samples (prompts, or repeats
of a timing) it is undecided, as such intervals are too narrow. The verdict on all claims is that of the worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

from spatialspec.lab.reproduce.report import ClaimResult
from spatialspec.measure.intervals import Figure

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"  # stored in records
WORDS = (HOLDS, FAILS, OPEN)
LEAST = 6


@dataclass(frozen=True)
class Claim:
    """A claim and its figure.

    Attributes:
        text: the claim in words.
        figure: measured; None where it is undefined.
        samples: number of prompts, or repeats, of the interval.
        unit: of the figure.
        low, high: range that the claim requires of the figure.
    """

    text: str
    figure: Figure | None
    samples: int
    unit: str = ""
    low: float = 0.0
    high: float = inf

    @property
    def found(self) -> str:
        """One of WORDS."""
        if self.figure is None or self.figure.interval is None or self.samples < LEAST:
            return OPEN
        low, high = self.figure.interval
        if self.low < low and high < self.high:
            return HOLDS
        return FAILS if high < self.low or self.high < low else OPEN

    @property
    def result(self) -> ClaimResult:
        """For the report."""
        return ClaimResult(
            text=self.text,
            unit=self.unit,
            value=None if self.figure is None else self.figure.value,
            interval=None if self.figure is None else self.figure.interval,
            low=self.low if isfinite(self.low) else None,
            high=self.high if isfinite(self.high) else None,
            found=self.found,
        )


def verdict(claims: Sequence[Claim]) -> str:
    """The verdict on all claims: does not hold if one does not, holds if every one does."""
    results = {claim.found for claim in claims}
    if FAILS in results:
        return FAILS
    return HOLDS if results == {HOLDS} else OPEN
