"""Objectives: whether a flow keeps its promised share of changes within the window. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from checks.convergence import Verdict
from checks.intervals import sequence_bounds

EXPECTED_RATE = 0.001
"""The share of differing records at which the bounds are narrowest."""


class Standing(StrEnum):
    """The state of an objective."""

    KEPT = "kept"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    NO_TRAFFIC = "no traffic"


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """Changes by whether they kept their window. A superseded change counts as neither.

    Attributes:
        missed: it is certain that they did not arrive within it.
        undecided: it stays unknown.
    """

    met: int = 0
    missed: int = 0
    undecided: int = 0

    @classmethod
    def of(cls, counts: Mapping[Verdict, int]) -> WindowCounts:
        """From counts of verdicts."""
        return cls(
            met=counts.get(Verdict.MET, 0),
            missed=counts.get(Verdict.BREACH, 0) + counts.get(Verdict.BREACH_THEN_CONVERGED, 0),
            undecided=counts.get(Verdict.UNDECIDED, 0),
        )

    def __add__(self, other: WindowCounts) -> WindowCounts:
        return WindowCounts(self.met + other.met, self.missed + other.missed, self.undecided + other.undecided)

    @property
    def decided(self) -> int:
        """Those of which it is known."""
        return self.met + self.missed

    @property
    def total(self) -> int:
        """All of them."""
        return self.met + self.missed + self.undecided

    def burn(self, goal: float) -> float | None:
        """How many times faster than a goal allows the error budget is used; None if nothing is decided, or for 1."""
        if not self.decided or goal >= 1:
            return None
        return self.missed / self.decided / (1 - goal)

    def keep(self, goal: float) -> bool:
        """Whether those that are decided meet a goal; not if there are none."""
        return self.decided > 0 and self.missed <= (1 - goal) * self.decided


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareObjective:
    """Counts of a period, compared with the promised share.

    Attributes:
        goal: the least share that should be met.
    """

    counts: WindowCounts
    goal: float

    @property
    def underlying(self) -> tuple[float, float]:
        """Bounds of the share that is met in the long run."""
        return underlying_share(self.counts, self.goal)

    @property
    def standing(self) -> Standing:
        """Its state.

        The objective is broken if even the upper bound of the long-run share is below the goal, so a few late changes
        on a quiet day break nothing by chance, however often it is checked. It is kept if the share seen, with
        undecided ones counted as missed, is not below the goal. Between the two nothing is concluded.
        """
        if not self.counts.total:
            return Standing.NO_TRAFFIC
        if self.underlying[1] < self.goal:
            return Standing.BROKEN
        return Standing.KEPT if self.counts.met / self.counts.total >= self.goal else Standing.UNDECIDED

    @property
    def budget_left(self) -> tuple[float, float] | None:
        """The share of the error budget that is left: at least and at most; negative if more than all is used.

        None without traffic, and for a goal of 1, which has no error budget.
        """
        allowed = (1 - self.goal) * self.counts.total
        if allowed <= 0:
            return None
        return 1 - (self.counts.missed + self.counts.undecided) / allowed, 1 - self.counts.missed / allowed


def at_least(least: float, most: float, goal: float) -> Standing:
    """The state of an objective for a figure that lies between two bounds and should reach the goal."""
    return Standing.KEPT if least >= goal else Standing.BROKEN if most < goal else Standing.UNDECIDED


def at_most(figure: float | None, limit: float) -> Standing:
    """The state of an objective for a figure that should not exceed a limit; None if it is unknown."""
    if figure is None:
        return Standing.UNDECIDED
    return Standing.KEPT if figure <= limit else Standing.BROKEN


def underlying_share(counts: WindowCounts, goal: float) -> tuple[float, float]:
    """Bounds of the share of changes within the window that a flow keeps in the long run.

    The bounds hold at 95 %, however often they are checked. An undecided change may count either way.

    Args:
        goal: the share promised; the bounds are narrowest near it.
    """
    expected = min(max(1 - goal, EXPECTED_RATE), 0.5)
    _, most_missed = sequence_bounds(counts.missed + counts.undecided, counts.total, expected=expected)
    least_missed, _ = sequence_bounds(counts.missed, counts.total, expected=expected)
    return 1 - most_missed, 1 - least_missed
