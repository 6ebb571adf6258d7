"""Silences begin here, those of people and those of the map's maintenance windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from auditor.ledger import Ledger, Transaction
from checks.routes import matches
from checks.silences import BY_MAP, Silence, Window, check_matchers, too_wide

JUST_BEGUN = timedelta(minutes=2)
"""How long after its beginning a silence holds back what was queued before; the rest is held back when queued."""

AHEAD = timedelta(minutes=1)
"""How long before it begins a maintenance window is entered, so that no message slips through at its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a silence would hide if it began now.

    Attributes:
        covered: the numbers of the open incidents that match.
        live: how many incidents are open.
        unreported: of how many no message was sent yet; whether they match shows with their first one.
        wide: what a person has to confirm before it begins; "" for nothing.
    """

    covered: tuple[int, ...]
    live: int
    unreported: int
    wide: str


def coverage(ledger: Ledger, matchers: Mapping[str, Sequence[str]]) -> Coverage:
    """What a silence with these matchers would hide now.

    Raises:
        RefusedError: there can be no such silence.
    """
    check_matchers(matchers)
    live = ledger.incidents.live_notices()
    notices = {number: notice for number, notice in live.items() if notice is not None}
    return Coverage(
        covered=tuple(number for number, notice in notices.items() if matches(matchers, notice)),
        live=len(live),
        unreported=len(live) - len(notices),
        wide=too_wide(matchers, list(notices.values())),
    )


def begin(ledger: Ledger, transaction: Transaction, silence: Silence, now: datetime) -> int:
    """Add a silence, and hold back what it hides of the messages that wait; returns its number."""
    number = ledger.silences.add(transaction, silence)
    _hold_back(ledger, transaction, replace(silence, silence_id=number), now)
    return number


def hold_back(ledger: Ledger, now: datetime) -> None:
    """Hold back the messages that still wait when a silence begins that was entered before."""
    begun = [each for each in ledger.silences.listed(at=now) if timedelta() <= now - each.from_at < JUST_BEGUN]
    entered_before = [each for each in begun if each.made_at < each.from_at]
    if entered_before:
        with ledger.write() as transaction:
            for each in entered_before:
                _hold_back(ledger, transaction, each, now)


def _hold_back(ledger: Ledger, transaction: Transaction, silence: Silence, now: datetime) -> None:
    for incident_id, notice in open_notices(ledger, transaction).items():
        if silence.hides(notice, now):
            ledger.outbox.silence(transaction, incident_id, silence.silence_id)


def open_notices(ledger: Ledger, transaction: Transaction) -> dict[int, Mapping[str, Any]]:
    """By number of each incident that is not over, its last notice."""
    live = ledger.incidents.live(transaction)
    last = ((each.incident_id, ledger.incidents.last_notice(transaction, each.incident_id)) for each in live)
    return {number: notice for number, notice in last if notice is not None}


def keep_windows(ledger: Ledger, windows: Sequence[Window], now: datetime) -> int:
    """Enter the silences of maintenance windows that hold or are about to, and end those that the map no longer has.

    One that a person has ended is not entered again.

    Returns:
        How many were entered or ended.
    """
    standing = [each for each in ledger.silences.listed(at=now) if each.maintenance is not None]
    stale = [each for each in standing if not any(window.stands_for(each) for window in windows)]
    wanted = (window.silence(at, now) for window in windows for at in (now, now + AHEAD))
    each_once = {(each.maintenance, each.from_at): each for each in wanted if each is not None}
    fresh = [each for each in each_once.values() if not ledger.silences.entered(each)]
    if not stale and not fresh:
        return 0
    with ledger.write() as transaction:
        for each in stale:
            ledger.silences.end(transaction, each.silence_id, at=now, by=BY_MAP)
        for each in fresh:
            begin(ledger, transaction, each, now)
    return len(stale) + len(fresh)
