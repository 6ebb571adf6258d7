"""Figures of queues and dead letters, for `auditor backlog`, `auditor letters` and the Dead letters page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from auditor.integration_map import IntegrationMap
from auditor.lens import Lens
from checks.funnel import Stage, Traffic, funnel
from checks.letters import LetterFate, Prospect, prospects, signature
from checks.queue_health import Flowing, QueueState, Rate, Trend, drain_s, flowing, rate, trend

HEALTH_READINGS = 60
"""Readings over which trend and rates are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How one queue stands.

    Attributes:
        depth, oldest_age_s: None where they are not known.
        age_of: what the age means, "" for the time since the message came into this queue.
        arriving, leaving: messages per second; None where the broker does not count them.
        drain: seconds until it is empty, as an interval; None where that cannot be told.
        drops_at: when it will drop its oldest message, None where it does not or that cannot be told.
        looked_at: letters known one by one, of those that wait; None for a queue that holds none.
        message: why it cannot be read, or "".
    """

    flow: str
    queue: str
    role: str
    read_at: datetime
    depth: int | None
    oldest_age_s: float | None
    age_of: str
    arriving: Rate | None
    leaving: Rate | None
    drain: tuple[float, float] | None
    trend: Trend
    flowing: Flowing
    drops_at: datetime | None
    looked_at: int | None
    notes: str
    message: str
    depths: tuple[int | None, ...]

    def as_row(self) -> dict[str, Any]:
        """The backlog as one row of a table; rates a second, an endless drain as None."""
        row = asdict(self)
        del row["depths"]
        row["arriving"] = self.arriving.per_s if self.arriving else None
        row["leaving"] = self.leaving.per_s if self.leaving else None
        row["drain"] = [None if end == float("inf") else end for end in self.drain] if self.drain else None
        return row


def backlogs(integration_map: IntegrationMap, lens: Lens, since: datetime) -> list[Backlog]:
    """Every queue of the map that was read in this range, as its last readings tell."""
    by_queue: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in lens.query(READINGS, [since, HEALTH_READINGS]).to_pylist():
        if (row["flow"], row["queue"]) in integration_map.queues:
            by_queue[row["flow"], row["queue"]].append(row)
    return [_backlog(rows) for _, rows in sorted(by_queue.items())]


def _backlog(rows: Sequence[dict[str, Any]]) -> Backlog:
    last = rows[-1]
    read = [row for row in rows if row["message"] is None]
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
        flow=last["flow"],
        queue=last["queue"],
        role=last["role"],
        read_at=last["read_at"],
        depth=last["depth"],
        oldest_age_s=last["oldest_age_s"],
        age_of=last["age_of"] or "",
        arriving=arriving,
        leaving=leaving,
        drain=drain_s(last["depth"], arriving, leaving),
        trend=trend(states),
        flowing=flowing(states) if last["role"] != "dead" else Flowing.UNKNOWN,
        drops_at=last["drops_at"],
        looked_at=last["looked_at"],
        notes=last["notes"] or "",
        message=last["message"] or "",
        depths=tuple(row["depth"] for row in rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    """One dead letter, what it explains, and what sending it again would come to."""

    id: int
    flow: str
    queue: str
    letter_id: str
    key: str | None
    reason: str | None
    signature: str
    attempts: int | None
    first_failed_at: datetime | None
    first_seen_at: datetime
    divergence_id: int | None
    prospect: Prospect


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Letters of one flow that failed for the same reason.

    Attributes:
        letters: that wait; `records` of them, as far as they tell which.
        explains: open divergences that these letters explain.
        recovered: letters of this reason that are gone and whose record agrees.
        prospects: how many letters have which.
    """

    flow: str
    signature: str
    letters: int
    records: int
    explains: int
    recovered: int
    first_at: datetime
    last_at: datetime
    prospects: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """How many of a flow's open divergences a dead letter explains."""

    flow: str
    explained: int
    open: int


def letters(integration_map: IntegrationMap, lens: Lens, since: datetime) -> tuple[list[LetterRow], list[Group]]:
    """Dead letters that wait, latest first, and their groups by reason, largest first.

    Args:
        since: letters that went away before count no more when it is said what later succeeded.
    """
    rows = [row for row in lens.query(LETTERS, [since]).to_pylist() if row["flow"] in integration_map.flows]
    fates = [
        LetterFate(
            flow=row["flow"],
            key=row["key"],
            signature=row["signature"] or signature(row["reason"]),
            attempts=row["attempts"],
            recovered=row["gone_at"] is not None and row["key"] is not None and row["divergence_id"] is None,
        )
        for row in rows
    ]
    unsafe = [name for name, flow in integration_map.flows.items() if flow.side_effects]
    told = prospects(fates, unsafe_flows=unsafe)
    columns = [each.name for each in fields(LetterRow) if each.name not in {"signature", "prospect"}]
    waiting = []
    groups: dict[tuple[str, str], list[tuple[dict[str, Any], LetterFate, Prospect]]] = defaultdict(list)
    for row, fate, prospect in zip(rows, fates, told, strict=True):
        groups[fate.flow, fate.signature].append((row, fate, prospect))
        if row["gone_at"] is None:
            waiting.append(
                LetterRow(
                    **{name: row[name] for name in columns},
                    signature=fate.signature,
                    prospect=prospect,
                )
            )
    found = [_group(members) for members in groups.values() if any(row["gone_at"] is None for row, _, _ in members)]
    return waiting, sorted(found, key=lambda each: (-each.letters, each.flow, each.signature))


def _group(members: Sequence[tuple[dict[str, Any], LetterFate, Prospect]]) -> Group:
    here = [(row, prospect) for row, _, prospect in members if row["gone_at"] is None]
    counted: dict[str, int] = defaultdict(int)
    for _, prospect in here:
        counted[prospect.value] += 1
    seen = [row["first_failed_at"] or row["first_seen_at"] for row, _ in here]
    return Group(
        flow=members[0][1].flow,
        signature=members[0][1].signature,
        letters=len(here),
        records=len({row["key"] for row, _ in here if row["key"] is not None}),
        explains=len({row["divergence_id"] for row, _ in here if row["divergence_id"] is not None}),
        recovered=sum(fate.recovered for _, fate, _ in members),
        first_at=min(seen),
        last_at=max(seen),
        prospects=dict(counted),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """What became of one flow's failed messages over a time."""

    flow: str
    hours: float
    stages: Sequence[Stage]

    def as_row(self) -> dict[str, Any]:
        """The funnel as one row of a table, each stage as its interval."""
        return {"flow": self.flow, **{stage.name: [stage.least, stage.most] for stage in self.stages}}


def funnels(integration_map: IntegrationMap, lens: Lens, since: datetime, now: datetime) -> list[Funnel]:
    """The recovery funnel of every flow that names a queue."""
    found = {row["flow"]: row for row in lens.query(FUNNEL, [since]).to_pylist()}
    changes = {row["flow"]: row["changes"] for row in lens.query(EMITTED, [since]).to_pylist()}
    by_flow: dict[str, list[Backlog]] = defaultdict(list)
    for each in backlogs(integration_map, lens, since):
        by_flow[each.flow].append(each)
    arrived = {row["flow"]: row["arrived"] for row in lens.query(RETRIED, [since]).to_pylist()}
    hours = (now - since).total_seconds() / 3600
    told = []
    for flow in dict.fromkeys(flow for flow, _ in integration_map.queues):
        dead = [each for each in by_flow[flow] if each.role == "dead" and not each.message]
        row = found.get(flow, {})
        depths = [each.depth for each in dead]
        unlooked = sum(max(0, (each.depth or 0) - (each.looked_at or 0)) for each in dead)
        traffic = Traffic(
            changes=changes.get(flow) or 0,
            reads_dead=bool(dead),
            letters=row.get("letters", 0),
            unlooked=None if None in depths else unlooked,
            retries=arrived.get(flow),
            gone_right=row.get("gone_right", 0),
            gone_wrong=row.get("gone_wrong", 0),
            gone_unknown=row.get("gone_unknown", 0),
        )
        told.append(Funnel(flow=flow, hours=hours, stages=funnel(traffic)))
    return told


def explained(integration_map: IntegrationMap, lens: Lens) -> list[Explained]:
    """By flow that has queues, the share of its open divergences that a waiting letter explains."""
    queued = {flow for flow, _ in integration_map.queues}
    return [
        Explained(flow=row["flow"], explained=row["explained"], open=row["open"])
        for row in lens.query(EXPLAINED).to_pylist()
        if row["flow"] in queued
    ]


READINGS = """
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY flow, queue ORDER BY read_at DESC) AS back
        FROM backlogs WHERE read_at >= ?)
    WHERE back <= ? ORDER BY flow, queue, read_at"""

LETTERS = """
    SELECT * FROM dead_letters WHERE gone_at IS NULL OR gone_at >= ? ORDER BY first_seen_at DESC, id DESC"""

FUNNEL = """
    SELECT flow, count(*) AS letters,
           count(*) FILTER (gone_at IS NOT NULL AND key IS NOT NULL AND divergence_id IS NULL) AS gone_right,
           count(*) FILTER (gone_at IS NOT NULL AND divergence_id IS NOT NULL) AS gone_wrong,
           count(*) FILTER (gone_at IS NOT NULL AND key IS NULL) AS gone_unknown
    FROM dead_letters WHERE first_seen_at >= ? GROUP BY flow"""

EMITTED = "SELECT flow, sum(changes)::BIGINT AS changes FROM probe_runs WHERE started_at >= ? GROUP BY flow"

RETRIED = """
    SELECT flow, sum(grown)::BIGINT AS arrived FROM (
        SELECT flow, greatest(0, arrived - lag(arrived) OVER (PARTITION BY flow, queue ORDER BY read_at)) AS grown
        FROM backlogs WHERE role = 'retry' AND read_at >= ?)
    GROUP BY flow HAVING sum(grown) IS NOT NULL"""

EXPLAINED = """
    SELECT d.flow, count(DISTINCT d.id) AS open,
           count(DISTINCT d.id) FILTER (l.divergence_id IS NOT NULL) AS explained
    FROM divergences d LEFT JOIN dead_letters l ON l.divergence_id = d.id AND l.gone_at IS NULL
    WHERE d.state = 'open' GROUP BY d.flow ORDER BY d.flow"""
