"""The life of an incident: when a breach opens it, keeps it open, reports it again, resolves it and reopens it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from checks.breaches import MEANINGS, Breach

GROWTH = (100, 10, 2)
"""Growth factors at which an incident is reported again."""

GROWN_AT_LEAST = 10
"""Growth to fewer records or messages than this is not reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A breach's life, as the ledger holds it.

    Attributes:
        told: the count that was reported when it opened or came back.
        growth: the multiple of that count reported since (0, 2, 10, 100).
        clear_since_at: since when nothing of it is left, None while something is.
    """

    incident_id: int
    fingerprint: str
    flow: str | None
    system: str | None
    breach: str
    state: str
    opened_at: datetime
    resolved_at: datetime | None
    count: int
    peak: int
    told: int | None
    growth: int | None
    clear_since_at: datetime | None
    reopened: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachSignal:
    """What one audit found about one possible breach.

    Attributes:
        count: how many records, letters or failures there are now.
        threshold: the least count that is a breach.
        clear_after_s: how long the count must stay at 0 before the incident is over.
        known: false if the audit could not determine the count; then nothing is concluded.
        detail: text reported with the summary.
    """

    breach: Breach
    fingerprint: str
    count: int
    threshold: int
    clear_after_s: float
    known: bool = True
    flow: str | None = None
    system: str | None = None
    queue: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentMove:
    """The next state of an incident.

    Attributes:
        transition: what to report, or "" for nothing: opened, grown, resolved, reopened.
        told, growth, clear_since_at: see `Incident`.
    """

    state: str
    transition: str
    count: int
    peak: int
    told: int
    growth: int
    clear_since_at: datetime | None
    reopened: int


def next_move(incident: Incident | None, signal: BreachSignal, now: datetime) -> IncidentMove | None:
    """Decide the next state of an incident. Pure.

    Args:
        incident: the open or recently resolved incident of the same fingerprint, or None.

    Returns:
        None if nothing changes. An incident opens at the threshold and resolves when not a single record has been
        left for `clear_after_s`, so it does not flap around the threshold, however often it is audited. It is
        reported again when it has grown to 2, 10 and 100 times the count reported first.
    """
    broken = signal.known and signal.count >= signal.threshold
    count = signal.count
    if incident is None or incident.state == "resolved":
        if not broken:
            return None
        return IncidentMove(
            state="open",
            transition="reopened" if incident else "opened",
            count=count,
            peak=max(incident.peak, count) if incident else count,
            told=count,
            growth=0,
            clear_since_at=None,
            reopened=incident.reopened + 1 if incident else 0,
        )
    if not signal.known:
        return None
    clear_since_at = None if count else incident.clear_since_at or now
    resolved = clear_since_at is not None and (now - clear_since_at).total_seconds() >= signal.clear_after_s
    growth = 0 if resolved else _growth(incident, signal)
    if not resolved and not growth and (count, clear_since_at) == (incident.count, incident.clear_since_at):
        return None
    return IncidentMove(
        state="resolved" if resolved else incident.state,
        transition="resolved" if resolved else "grown" if growth else "",
        count=count,
        peak=max(incident.peak, count),
        told=incident.told or incident.count,
        growth=growth or incident.growth or 0,
        clear_since_at=None if resolved else clear_since_at,
        reopened=incident.reopened,
    )


def _growth(incident: Incident, signal: BreachSignal) -> int:
    """The multiple of the reported count it has grown to (2, 10, 100), 0 if that is not news."""
    if not MEANINGS[signal.breach].grows or signal.count < GROWN_AT_LEAST:
        return 0
    times = signal.count / max(1, incident.told or incident.count)
    reached = next((each for each in GROWTH if times >= each), 0)
    return reached if reached > (incident.growth or 0) else 0
