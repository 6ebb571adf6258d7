"""Missed changes of an objective that are no news: an incident has reported them, or what made them late.

An objective counts the changes of an hour, and is judged after them: by then what held them up may be over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.ledger import Ledger, Transaction
from checks.breach_life import BreachSignal, OpenBreach
from checks.breaches import Breach
from checks.paging import HOUR_S
from checks.root_causes import Places, groups


def are_known(ledger: Ledger, transaction: Transaction, signal: BreachSignal, places: Places, now: datetime) -> bool:
    """Whether the misses of a signal are known from an incident that is over.

    The first time, they are recorded as a part of the incident that made the changes late; further misses are news.
    """
    if signal.breach is not Breach.OBJECTIVE or not signal.count:
        return False
    since = now - timedelta(seconds=HOUR_S)
    if signal.count <= ledger.breaches.peak_since(transaction, signal.fingerprint, since):
        return True
    cause = _cause(ledger, transaction, _missed(signal, now), places, since)
    if cause is None:
        return False
    values = {
        "fingerprint": signal.fingerprint,
        "flow": signal.flow,
        "breach": signal.breach.value,
        "incident_id": cause.incident_id,
        "opened_at": now,
        "ended_at": now,
        "count": 0,
        "peak": signal.count,
        "reason": signal.reason,
        "detail": signal.detail,
        "detail_at": now if signal.detail else None,
    }
    ledger.breaches.save(transaction, 0, values)
    return True


def _cause(
    ledger: Ledger, transaction: Transaction, missed: OpenBreach, places: Places, since: datetime
) -> OpenBreach | None:
    """The last breach with the cause of the misses, if it is over; None if changes were late after it, too."""
    over = {each.breach_id: (ended_at, each) for each, ended_at in ledger.breaches.ended(transaction, since)}
    known = [each for _, each in over.values() if each.incident_id and each.breach is not Breach.OBJECTIVE]
    (group,) = (each for each in groups([*known, missed], places) if missed in each.breaches)
    alike = [over[each.breach_id] for each in group.breaches if each is not missed]
    if not alike:
        return None
    ended_at, last = max(alike, key=lambda each: each[0])
    return None if ledger.measurements.missed_after(transaction, missed.flow or "", ended_at) else last


def _missed(signal: BreachSignal, now: datetime) -> OpenBreach:
    """The breach that the signal would begin."""
    return OpenBreach(
        breach_id=0,
        incident_id=0,
        fingerprint=signal.fingerprint,
        breach=signal.breach,
        flow=signal.flow,
        system=signal.system,
        queue=signal.queue,
        opened_at=now,
        count=signal.count,
        peak=signal.count,
        clear_since_at=None,
        reason=signal.reason,
        detail=signal.detail,
        detail_at=now if signal.detail else None,
    )
