"""Objectives: whether a flow keeps its promised share of changes within the window. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from checks.intervals import sequence_bounds

EXPECTED_RATE = 0.001
"""The share of differing records at which the bounds are narrowest."""


class Standing(StrEnum):
    """The state of an objective."""

    KEPT = "kept"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    NO_TRAFFIC = "no traffic"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowObjective:
    """The changes of a period, compared with the promised share.

    Attributes:
        met, breach, undecided: changes by whether they kept their window.
        goal: the least share that should keep it.
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
        """Bounds of the share that the flow keeps in the long run."""
        return underlying_share(self.met, self.breach, self.undecided, self.goal)

    @property
    def standing(self) -> Standing:
        """Its state.

        The objective is broken if even the upper bound of the long-run share is below the goal, so a few late changes
        on a quiet day break nothing by chance, however often it is checked. It is kept if the share seen, with
        undecided changes counted as late, is not below the goal. Between the two nothing is concluded.
        """
        if not self.total:
            return Standing.NO_TRAFFIC
        if self.underlying[1] < self.goal:
            return Standing.BROKEN
        return Standing.KEPT if self.met / self.total >= self.goal else Standing.UNDECIDED


def underlying_share(met: int, breach: int, undecided: int, goal: float) -> tuple[float, float]:
    """Bounds of the share of changes within the window that a flow keeps in the long run.

    The bounds hold at 95 %, however often they are checked. An undecided change may count either way.

    Args:
        goal: the share promised; the bounds are narrowest near it.
    """
    total, expected = met + breach + undecided, min(max(1 - goal, EXPECTED_RATE), 0.5)
    _, most_late = sequence_bounds(breach + undecided, total, expected=expected)
    least_late, _ = sequence_bounds(breach, total, expected=expected)
    return 1 - most_late, 1 - least_late
