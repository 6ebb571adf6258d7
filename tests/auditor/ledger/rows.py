"""Rows to keep in a ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from auditor.ledger import Ledger
from auditor.ledger import tables as t
from checks.cause import Cause, Kind
from checks.convergence import Change
from checks.differences import Difference, Shape
from checks.record_history import Divergence, DivergenceState
from probes.contract import Key

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def incident(**values: object) -> dict[str, object]:
    """The columns of an open incident."""
    fixed: dict[str, object] = {
        "fingerprint": "x",
        "cause": "orphan",
        "breach": "orphan",
        "severity": "low",
        "state": "open",
        "opened_at": NOW,
        "count": 1,
        "peak": 1,
        "told": 1,
        "told_messages": 0,
        "growth": 0,
        "reopened": 0,
        "explained": False,
        "apart": False,
        "summary": "s",
        "evidence": "",
    }
    return {**fixed, **values}


def fingerprint(number: int) -> bytes:
    return number.to_bytes(16, "big")


def change(key: Key, at: datetime = NOW) -> Change:
    return Change(
        key=key,
        fingerprint=fingerprint(1),
        committed_from_at=at,
        committed_to_at=at,
        window_s=5,
        enrolled_at=at,
    )


def divergence(key: Key) -> Divergence:
    difference = Difference(field="a", shape=Shape.CASE, owner_value="x", target_value="X")
    return Divergence(
        key=key,
        kind=Kind.VALUE,
        cause=Cause.LATE,
        state=DivergenceState.SUSPECTED,
        first_seen_at=NOW,
        last_seen_at=NOW,
        differences=(difference,),
        version=fingerprint(2),
        next_check_at=NOW + timedelta(seconds=5),
    )


def save(ledger: Ledger, *, changes: list[Change] | None = None, divergences: list[Divergence] | None = None) -> None:
    with ledger.write() as transaction:
        ledger.records.save_changes(transaction, "f", [(each, NOW) for each in changes or []])
        ledger.records.save_divergences(transaction, "f", "thing", divergences or [])


def dump(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """All that the ledger holds, but for the lease."""
    with ledger.database.read() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for name, table in t.metadata.tables.items()
            if name != "lease"
        }
