"""The rows of baselines, changes and divergences, from values and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from auditor.ledger.transaction import Transaction
from checks.cause import Cause, Kind
from checks.causes import Baseline
from checks.convergence import Change, Operation, Verdict
from checks.differences import Difference, Shape
from checks.record_history import Divergence, DivergenceState
from checks.records import FINGERPRINT_BYTES
from checks.values import EPOCH
from probes.contract import Key

_CHANGE_COLUMNS = (
    "fingerprint",
    "mark",
    "stamped_at",
    "committed_from_at",
    "committed_to_at",
    "window_s",
    "enrolled_at",
    "probes",
    "missed_at",
    "differed_at",
    "behind",
    "shown_at",
    "superseded",
    "unseen_before",
    "lost_sight",
    "clamped",
    "settled_at",
)


_ABSENT = bytes(FINGERPRINT_BYTES)
"""Stands for a record that is not there, among fingerprints that are stored end to end."""

_COMPUTED = frozenset({"clamped", "unseen_before", "lost_sight"})


def insert_or_update(transaction: Transaction, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows with id 0, update the others; all have the same columns, flow and key never change."""
    new = [{name: value for name, value in row.items() if name != "id"} for row in rows if not row["id"]]
    if new:
        transaction.execute(sa.insert(table), new)
    old = [{f"b_{name}": value for name, value in row.items()} for row in rows if row["id"]]
    if old:
        changed: dict[str, Any] = {
            name: sa.bindparam(f"b_{name}") for name in rows[0] if name not in {"id", "flow", "key"}
        }
        transaction.execute(sa.update(table).where(table.c.id == sa.bindparam("b_id")).values(changed), old)


def baseline_of(
    owner: bytes,
    target: bytes,
    owner_digests: bytes | None,
    target_digests: bytes | None,
    ring: bytes,
    mark: int | None,
    unshown: bytes | None,
    unshown_until_at_us: int | None,
    agreed_at_us: int,
) -> Baseline:
    return Baseline(
        owner=owner,
        target=target,
        owner_digests=owner_digests or b"",
        target_digests=target_digests or b"",
        ring=_fingerprints(ring) if ring else (),
        agreed_at=EPOCH + timedelta(microseconds=agreed_at_us),
        mark=mark,
        unshown=tuple(b"" if each == _ABSENT else each for each in _fingerprints(unshown)) if unshown else (),
        unshown_until_at=None if unshown_until_at_us is None else EPOCH + timedelta(microseconds=unshown_until_at_us),
    )


def _fingerprints(joined: bytes) -> tuple[bytes, ...]:
    return tuple(joined[at : at + FINGERPRINT_BYTES] for at in range(0, len(joined), FINGERPRINT_BYTES))


def change_of(row: Any, key: Key) -> Change:
    return Change(
        change_id=row.id,
        key=key,
        verdict=Verdict(row.verdict),
        operation=Operation(row.operation or Operation.UPDATE),
        unseen_before=bool(row.unseen_before),
        lost_sight=bool(row.lost_sight),
        **{name: getattr(row, name) for name in _CHANGE_COLUMNS if name not in _COMPUTED},
    )


def divergence_of(row: Any, key: Key) -> Divergence:
    return Divergence(
        divergence_id=row.id,
        key=key,
        kind=Kind(row.kind),
        cause=Cause(row.cause),
        state=DivergenceState(row.state),
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        suspected_at=row.suspected_at,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        readings=row.readings,
        version=row.version,
        shown=row.shown or b"",
        steady_at=row.steady_at,
        permitted=bool(row.permitted),
        winner=row.winner or "",
        resolution=row.resolution or "",
        owner_written=(row.owner_from_at, row.owner_to_at) if row.owner_from_at else None,
        target_written=(row.target_from_at, row.target_to_at) if row.target_from_at else None,
        witnesses=row.witnesses or "",
        versions_behind=row.versions_behind or 0,
        first_missed_at=row.first_missed_at,
        operation=row.operation or "",
        stamped_at=row.stamped_at,
        differences=tuple(
            Difference(**{**each, "shape": Shape(each["shape"])}) for each in json.loads(row.differences)
        ),
        detail=row.detail,
        next_check_at=row.next_check_at,
    )


def baseline_row(baseline: Baseline, at: datetime) -> dict[str, Any]:
    """A baseline as its row; `at` is used if it has no time of agreement."""
    return {
        "owner": baseline.owner,
        "target": baseline.target,
        "owner_digests": baseline.owner_digests,
        "target_digests": baseline.target_digests,
        "ring": b"".join(baseline.ring),
        "agreed_at": baseline.agreed_at or at,
        "mark": baseline.mark,
        "unshown": b"".join(each or _ABSENT for each in baseline.unshown) or None,
        "unshown_until_at": baseline.unshown_until_at,
    }


def change_row(change: Change) -> dict[str, Any]:
    """A change as its row; its `id` is 0 if it is new."""
    return {
        "id": change.change_id,
        **{name: getattr(change, name) for name in _CHANGE_COLUMNS},
        "key": str(change.key),
        "verdict": change.verdict.value,
        "operation": change.operation.value,
        "lag_lower_s": change.lag_lower_s,
        "lag_upper_s": change.lag_upper_s,
    }


def divergence_row(each: Divergence) -> dict[str, Any]:
    """A divergence as its row; its `id` is 0 if it is new."""
    differences = [asdict(difference) for difference in each.differences]
    return {
        "id": each.divergence_id,
        "key": str(each.key),
        "kind": each.kind.value,
        "cause": each.cause.value,
        "state": each.state.value,
        "first_seen_at": each.first_seen_at,
        "last_seen_at": each.last_seen_at,
        "suspected_at": each.suspected_at,
        "opened_at": each.opened_at,
        "closed_at": each.closed_at,
        "readings": each.readings,
        "version": each.version,
        "shown": each.shown,
        "steady_at": each.steady_at,
        "permitted": each.permitted,
        "winner": each.winner,
        "resolution": each.resolution,
        "owner_from_at": each.owner_written[0] if each.owner_written else None,
        "owner_to_at": each.owner_written[1] if each.owner_written else None,
        "target_from_at": each.target_written[0] if each.target_written else None,
        "target_to_at": each.target_written[1] if each.target_written else None,
        "witnesses": each.witnesses,
        "versions_behind": each.versions_behind,
        "first_missed_at": each.first_missed_at,
        "operation": each.operation,
        "stamped_at": each.stamped_at,
        "fields": ", ".join(
            difference.field for difference in each.differences if difference.shape is not Shape.UNREADABLE
        ),
        "differences": json.dumps(differences, ensure_ascii=False),
        "detail": each.detail,
        "next_check_at": each.next_check_at,
    }
