"""How severe an incident is, from what is wrong and from who acts on it. Pure."""

from __future__ import annotations

from enum import StrEnum

from checks.breaches import Breach
from checks.tables import complete


class Severity(StrEnum):
    """How severe an incident is."""

    CRITICAL = "critical"
    HIGH = "high"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _ORDER.index(self)


_ORDER = (Severity.CRITICAL, Severity.HIGH, Severity.LOW)

DECIDES = 8
"""The weight from which a consumer of a copy decides by itself, see `auditor.map.consumers.ROLE_WEIGHT`."""

REPORTS = 1
"""The weight of a copy that only reports show."""

_ALONE = complete(
    {
        Breach.NOT_ARRIVING: Severity.HIGH,
        Breach.FOREIGN_WRITE: Severity.HIGH,
        Breach.WRITE_CONFLICT: Severity.HIGH,
        Breach.ORPHAN: Severity.LOW,
        Breach.DUPLICATE: Severity.HIGH,
        Breach.LOST_UPDATE: Severity.HIGH,
        Breach.TRANSFORMATION: Severity.HIGH,
        Breach.REGRESSION: Severity.HIGH,
        Breach.INVALID: Severity.LOW,
        Breach.UNEXPLAINED: Severity.LOW,
        Breach.CONFLICTS_WAITING: Severity.LOW,
        Breach.UNVERIFIED: Severity.LOW,
        Breach.OBJECTIVE: Severity.HIGH,
        Breach.DEAD_LETTERS: Severity.HIGH,
        Breach.EXPIRING: Severity.HIGH,
        Breach.BACKLOG: Severity.LOW,
        Breach.STALLED: Severity.HIGH,
        Breach.UNREAD_QUEUE: Severity.LOW,
        Breach.UNMEASURED_QUEUE: Severity.LOW,
        Breach.UNREACHABLE: Severity.HIGH,
        Breach.UNREADABLE: Severity.LOW,
        Breach.CLOCK_STEP: Severity.LOW,
    }
)
"""How severe a breach is where nothing is declared of those who read the copy."""


def severity(breach: Breach, *, weight: int, strict: bool) -> Severity:
    """How severe a breach is.

    Args:
        weight: of the consumers of the copy; 0 if the map names none.
        strict: the flow carries financial or audit data.
    """
    rank = _ALONE[breach].rank - (strict or weight >= DECIDES) + (weight == REPORTS and not strict)
    return _ORDER[min(max(rank, 0), len(_ORDER) - 1)]


def worst(severities: list[Severity]) -> Severity:
    """The worst of several; low for none."""
    return min(severities, key=lambda each: each.rank, default=Severity.LOW)
