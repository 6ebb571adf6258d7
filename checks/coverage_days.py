"""How much of what was due on a day got a verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

USUAL_GOAL = 0.99
"""The share that counts as enough for a flow without an objective about coverage."""


class Covered(StrEnum):
    """How well a day is verified."""

    ENOUGH = "verified"
    PART = "verified in part"
    NONE = "not verified"
    NOTHING_DUE = "nothing due"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageCounts:
    """What the audits of a flow came to.

    Attributes:
        audits, failed: audits, and those that could not read a system, so that nobody knows what was due.
        due, verdicts: records that were due to be read, and those with a verdict.
    """

    audits: int = 0
    failed: int = 0
    due: int = 0
    verdicts: int = 0

    @property
    def share(self) -> float | None:
        """The share of due records with a verdict; None if none was due."""
        return self.verdicts / self.due if self.due else None

    def covered(self, goal: float) -> Covered:
        """How well they verify the flow.

        Args:
            goal: the least share of records with a verdict, and of audits that could read both systems.
        """
        if not self.audits:
            return Covered.NO_DATA
        if self.failed == self.audits or (self.due and not self.verdicts):
            return Covered.NONE
        readable = (self.audits - self.failed) / self.audits >= goal
        if self.share is None:
            return Covered.NOTHING_DUE if readable else Covered.PART
        return Covered.ENOUGH if readable and self.share >= goal else Covered.PART
