"""The state of queues, from their latest readings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from auditor.history.lens import Lens
from auditor.history.status import STALE_INTERVALS
from auditor.map.integration_map import IntegrationMap
from checks.queue_health import consumption, drain_s, rate, slope_per_s, trend
from checks.queue_states import Flowing, QueueState, Rate, Trend
from probes.settings import Role

HEALTH_READINGS = 60
"""Readings over which trend and rates are taken."""

LATELY_FLOOR_S = 60.0
"""A queue read within this time counts as current, however often its flow is audited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """What was seen when a queue was read.

    Attributes:
        depth: None if unknown.
        looked_at: how many of the waiting letters were read; None for a queue without letters.
        message: why it cannot be read, or "".
    """

    flow: str
    queue: str
    role: Role
    read_at: datetime
    depth: int | None
    looked_at: int | None
    notes: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog(QueueReading):
    """The state of one queue.

    Attributes:
        oldest_age_s: None if unknown.
        age_of: what the age means, "" for the time since the message came into this queue.
        arriving, leaving: messages per second; None if the broker does not count them.
        drain: seconds until it is empty, as an interval; None if unknown.
        slope_per_s: how fast the depth changes; None if it was not read twice.
        drops_at: when it will drop its oldest message, None if it does not or this is unknown.
    """

    oldest_age_s: float | None
    age_of: str
    arriving: Rate | None
    leaving: Rate | None
    drain: tuple[float, float] | None
    trend: Trend
    slope_per_s: float | None
    flowing: Flowing
    drops_at: datetime | None

    def as_row(self) -> dict[str, Any]:
        """The backlog as one row of a table; rates per second, an endless drain as None."""
        row = asdict(self)
        row["arriving"] = self.arriving.per_s if self.arriving else None
        row["leaving"] = self.leaving.per_s if self.leaving else None
        row["drain"] = [None if end == float("inf") else end for end in self.drain] if self.drain else None
        return row


def backlogs(
    integration_map: IntegrationMap, lens: Lens, since: datetime, until: datetime | None = None
) -> list[Backlog]:
    """Every queue of the map that was read in this range, from its latest readings.

    Args:
        until: its end; None for now.
    """
    by_queue = _readings(integration_map, lens, since, until, HEALTH_READINGS)
    begin = min((rows[0]["read_at"] for rows in by_queue.values()), default=since)
    late = {row["flow"] for row in lens.query(LATE).to_pylist()}
    arrived = {
        row["flow"]: row["arrived_late_at"] if row["flow"] in late else row["arrived_at"]
        for row in lens.query(ARRIVED, [begin]).to_pylist()
    }
    return [
        _backlog(rows, arrived.get(flow), integration_map.flow(flow).window_s, changes_late=flow in late)
        for (flow, _), rows in sorted(by_queue.items())
    ]


def last_readings(
    integration_map: IntegrationMap, lens: Lens, since: datetime, until: datetime | None = None
) -> list[QueueReading]:
    """The last reading of every queue of the map in this range, without what is known only from several.

    Args:
        until: its end; None for now.
    """
    readings = _readings(integration_map, lens, since, until, 1)
    return [QueueReading(**_seen(last)) for _, (last,) in sorted(readings.items())]


def _seen(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of the view says of a `QueueReading`."""
    told = {each.name: row[each.name] for each in fields(QueueReading)}
    return {**told, "notes": row["notes"] or "", "message": row["message"] or ""}


def _readings(
    integration_map: IntegrationMap, lens: Lens, since: datetime, until: datetime | None, most: int
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """By flow and queue, its latest readings in this range, at most so many, oldest first."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in lens.query(READINGS, [since, until, most]).to_pylist():
        if (row["flow"], row["queue"]) in integration_map.queues:
            found[row["flow"], row["queue"]].append(row)
    return found


def current_s(every_s: float) -> float:
    """For how long a reading of a queue is current: two turns of its flow; older figures may be out of date."""
    return max(STALE_INTERVALS * every_s, LATELY_FLOOR_S)


def read_lately(reading: QueueReading, every_s: float, now: datetime) -> bool:
    """Whether the reading of a queue is still current."""
    return (now - reading.read_at).total_seconds() <= current_s(every_s)


def unread_queues(
    integration_map: IntegrationMap, flows: Sequence[str], read: Sequence[QueueReading], now: datetime
) -> list[str]:
    """The queues of these flows that are not being read, one sentence each."""
    by_queue = {(each.flow, each.queue): each for each in read}
    sentences = []
    for flow, queue in integration_map.queues:
        last = by_queue.get((flow, queue))
        if flow in flows and (last is None or not read_lately(last, integration_map.flow(flow).every_s, now)):
            sentences.append(f"{flow}, queue {queue}: {not_read(last)}")
    return sentences


def not_read(last: QueueReading | None) -> str:
    """A sentence that says since when a queue has not been read."""
    return f"not read since {last.read_at:%Y-%m-%d %H:%M:%S} UTC" if last else "not read yet, or not lately"


def _backlog(
    rows: Sequence[dict[str, Any]], arrived_at: datetime | None, window_s: float, *, changes_late: bool
) -> Backlog:
    last = rows[-1]
    # A figure missing from the last reading is unknown; earlier readings do not replace it.
    read = [row for row in rows if row["message"] is None] if last["depth"] is not None else []
    states = [
        QueueState(
            read_at=row["read_at"],
            depth=row["depth"],
            arrived=row["arrived"],
            taken=row["taken"],
            oldest_at=row["oldest_at"],
        )
        for row in read
    ]
    arriving, leaving = rate(states, "arrived"), rate(states, "taken")
    return Backlog(
        **_seen(last),
        oldest_age_s=last["oldest_age_s"],
        age_of=last["age_of"] or "",
        arriving=arriving,
        leaving=leaving,
        drain=drain_s(last["depth"], arriving, leaving),
        trend=trend(states),
        slope_per_s=slope_per_s(states),
        flowing=consumption(states, arrived_at, window_s, changes_late=changes_late)
        if last["role"] != "dead"
        else Flowing.UNKNOWN,
        drops_at=last["drops_at"],
    )


ARRIVED = """
SELECT flow, max(shown_at) AS arrived_at,
       max(shown_at) FILTER (differed_at IS NOT NULL AND NOT superseded) AS arrived_late_at
FROM changes WHERE settled_at >= ? GROUP BY flow
"""
"""See `auditor.ledger.records.Records.arrived_at`: a change that was taken back is there without having arrived."""

LATE = "SELECT DISTINCT flow FROM divergences WHERE state = 'open' AND cause IN ('late', 'lost')"

READINGS = """
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY flow, queue ORDER BY read_at DESC) AS back
        FROM backlogs WHERE read_at >= ? AND read_at <= coalesce(?, 'infinity'::TIMESTAMPTZ))
    WHERE back <= ? ORDER BY flow, queue, read_at"""
