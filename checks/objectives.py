"""Objectives: whether a flow keeps the share of changes within the window that it promises. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from checks.intervals import sequence_bounds

EXPECTED_RATE = 0.001
"""The share of differing records at which bounds are narrowest."""


class Standing(StrEnum):
    """How an objective stands."""

    KEPT = "kept"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    NO_TRAFFIC = "no traffic"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowObjective:
    """The changes of a period against the share that is promised.

    Attributes:
        met, breach, undecided: changes by whether they kept their window.
        goal: the least share that is to keep it.
    """

    met: int
    breach: int
    undecided: int
    goal: float

    @property
    def total(self) -> int:
        """Changes that count."""
        return self.met + self.breach + self.undecided

    @property
    def underlying(self) -> tuple[float, float]:
        """Least and most share that the flow keeps in the long run."""
        return underlying_share(self.met, self.breach, self.undecided, self.goal)

    @property
    def standing(self) -> Standing:
        """How it stands.

        It is broken where even the most that the flow may keep in the long run is below the goal, so that a few late
        changes of a quiet day break nothing by chance, however often one looks; and kept where the share seen is not
        below it, undecided changes counted as late. Between the two nothing is concluded.
        """
        if not self.total:
            return Standing.NO_TRAFFIC
        if self.underlying[1] < self.goal:
            return Standing.BROKEN
        return Standing.KEPT if self.met / self.total >= self.goal else Standing.UNDECIDED


def underlying_share(met: int, breach: int, undecided: int, goal: float) -> tuple[float, float]:
    """Least and most share of changes within the window that a flow keeps in the long run.

    The bounds hold at 95 % however often one looks. An undecided change may count either way.

    Args:
        goal: the share promised; the bounds are narrowest near it.
    """
    total, expected = met + breach + undecided, min(max(1 - goal, EXPECTED_RATE), 0.5)
    _, most_late = sequence_bounds(breach + undecided, total, expected=expected)
    least_late, _ = sequence_bounds(breach, total, expected=expected)
    return 1 - most_late, 1 - least_late
