"""Changes in a MongoDB collection, by its dates or by an increasing number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.timestamp import Timestamp

from probes.contract import Page, ProbeError, ReadSpec, Reason, Row, StampsError
from probes.records.mongodb import documents, order
from probes.records.mongodb.session import Session

STRAYS_CEILING = 1_000
"""Most stamps of another type than the rest, examined in every poll, because no comparison finds them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000}


def changed(session: Session, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None) -> Page:
    """Records changed at or after an instant or a version; see `RecordProbe.changed`."""
    path = spec.mark
    if path is None:
        raise ProbeError(Reason.QUERY, f"{spec.collection} has no changed_at and no version field in the map")
    types, bound = _bound(session, spec, path, since)
    conditions: list[dict[str, Any]] = [{path: {"$type": list(types)} if bound is None else {"$gte": bound}}]
    strays: list[Row] = []
    if after is None:
        strays = _strays(session, spec, path, types, since)
    else:
        mark, identity = order.cursor_values(after, "mark", "id")
        same, later = order.behind("_id", identity)
        conditions = [{path: mark, **each} for each in (same, later) if each is not None]
        conditions.append({path: {"$gt": mark}})
    changed_documents: list[bytes] = []
    cut = False
    for condition in conditions:
        if not cut and len(changed_documents) < limit:
            some, cut = session.documents(
                spec.collection,
                condition,
                {path: 1, "_id": 1},
                session.projection(spec),
                limit - len(changed_documents),
            )
            changed_documents += some
    read = [documents.decoded(each) for each in changed_documents]
    if not changed_documents and not strays:
        session.described(spec.collection)
    rows = [session.row_of(spec, document) for document in read]
    place = None
    if cut and read:  # the response ended before the limit: continue after its last record
        mark = documents.find(read[-1], path)
        if not isinstance(mark, list):
            place = order.cursor_text(mark=mark, id=read[-1]["_id"])
    return Page(rows=[*strays, *rows], next=place, more=cut or len(changed_documents) >= limit)


def _bound(session: Session, spec: ReadSpec, path: str, since: datetime | int | None) -> tuple[Sequence[int], Any]:
    """The types of most stamps, and the value to start from; None for all of them."""
    if spec.changed_at is None or spec.changed_at_unit is not None:
        bound = since
        if isinstance(since, datetime):
            unit = _PER_S[spec.changed_at_unit or "s"]
            bound = (since - _EPOCH) // timedelta(microseconds=1) * unit // 1_000_000
        return order.NUMBERS, bound
    newest, _ = session.documents(spec.collection, {}, {path: -1}, {"_id": 1, path: 1}, 1)
    stamp = documents.find(documents.decoded(newest[0]), path) if newest else None
    if isinstance(stamp, Timestamp):
        return (order.TIMESTAMP,), (
            None if not isinstance(since, datetime) else Timestamp(max(0, int(since.timestamp())), 0)
        )
    if isinstance(stamp, int | float) and not isinstance(stamp, bool):
        raise ProbeError(
            Reason.QUERY, f"{spec.collection}.{path} holds numbers", hint="set changed_at_unit: s, ms or us"
        )
    return (order.DATE,), since


def _strays(
    session: Session, spec: ReadSpec, path: str, types: Sequence[int], since: datetime | int | None
) -> list[Row]:
    """Records whose stamp is of another type: a comparison skips them, whatever their value."""
    other = {path: {"$type": order.other_types(types)}}
    strays, cut = session.documents(spec.collection, other, None, session.projection(spec), STRAYS_CEILING + 1)
    if cut or len(strays) > STRAYS_CEILING:
        expected = "dates" if spec.changed_at is not None and spec.changed_at_unit is None else "numbers"
        raise StampsError(
            Reason.QUERY,
            f"{spec.collection}.{path}: more than {STRAYS_CEILING:,} stamps that are not {expected}, so changes "
            "cannot be found by it",
            hint="store them as dates, or name a growing version:; with neither, leave changed_at out, and only "
            "the sweep finds changes",
        )
    rows = [session.row(spec, document) for document in strays]
    return [row for row in rows if not _certainly_before(row[1], since)]


def _certainly_before(stamp: Any, since: datetime | int | None) -> bool:
    """Whether a stamp proves that a record was not changed since."""
    if isinstance(stamp, str) and isinstance(since, datetime):
        try:
            at = datetime.fromisoformat(stamp.strip())
        except ValueError:
            return False
        return at.tzinfo is not None and at < since
    if isinstance(stamp, datetime) and isinstance(since, datetime):
        return stamp < since
    return False
