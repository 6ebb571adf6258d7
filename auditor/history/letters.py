"""Dead letters: which are waiting and why, what they explain, and what happened to failed messages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from auditor.history.backlogs import QueueReading, last_readings, not_read, read_lately
from auditor.history.lens import Lens
from auditor.map.integration_map import IntegrationMap
from checks.funnel import Fate, Stage, Traffic, fates, funnel
from checks.letters import LetterFate, Prospect, prospects, signature
from checks.values import EPOCH, MICROSECOND
from probes.wording import counted

KNOWN_FOR = timedelta(days=1)
"""Queues last read longer ago than this are shown like queues that were never read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    """One dead letter, what it explains, and the likely result of replaying it."""

    id: int
    flow: str
    queue: str
    letter_id: str
    key: str | None
    reason: str | None
    signature: str
    attempts: int | None
    first_failed_at: datetime | None
    last_failed_at: datetime | None
    first_seen_at: datetime
    divergence_id: int | None
    unreadable: str | None
    note: str | None
    prospect: Prospect

    @property
    def remarks(self) -> str:
        """Which parts could not be read, and which of its claims the map does not support."""
        return "; ".join(each for each in (self.unreadable and f"unreadable: {self.unreadable}", self.note) if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Letters of one flow that failed for the same reason.

    Attributes:
        letters: the number waiting; for `records` records, as far as they name one.
        explains: divergences, suspected or open, that these letters explain.
        recovered: letters of this reason that are no longer queued and whose record agrees.
        prospects: the number of letters with each prospect.
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
    """How many of a flow's divergences, suspected or open, a dead letter explains."""

    flow: str
    explained: int
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The waiting dead letters.

    Attributes:
        rows: the latest of them, as many as requested.
        letters: the total; `replayable` of them would succeed, `unknown` of them might.
        explains: records that differ now and that they explain; `fixes` of them by replayable letters, and at most
            `fixes_most` if every unknown one succeeded.
        groups: by reason, largest first.
    """

    rows: Sequence[LetterRow]
    letters: int
    replayable: int
    unknown: int
    explains: int
    fixes: int
    fixes_most: int
    groups: Sequence[Group]

    @property
    def replay_text(self) -> str:
        """The estimated result of replaying all of them."""
        least, most = self.replayable, self.replayable + self.unknown
        if self.unknown == self.letters:
            return f"not known: none of the {counted(most, 'message')} has a reason with which another succeeded"
        would = f"{_from_to(least, most)} of {counted(self.letters, 'message')} would succeed"
        if not self.explains:
            return f"{would}; no record that differs is explained by them"
        differ = "record that differs" if self.explains == 1 else "records that differ"
        return f"{would} and fix {_from_to(self.fixes, self.fixes_most)} of the {self.explains:,} {differ}"


@dataclass(frozen=True, slots=True)
class _Told:
    """What is needed of every letter; the displayed columns are queried by id."""

    id: int
    fate: LetterFate
    prospect: Prospect
    gone: bool
    divergence_id: int | None
    at_us: int


def unseen_letters(integration_map: IntegrationMap, flows: Sequence[str], lens: Lens, now: datetime) -> list[str]:
    """What is unknown about the dead letters of these flows, one sentence per queue."""
    queues = [
        (flow, queue)
        for (flow, queue), settings in integration_map.queues.items()
        if flow in flows and settings.role == "dead"
    ]
    if not queues:
        return ["the map names no queue of dead letters here, so whether any wait is not known"]
    read = {(each.flow, each.queue): each for each in last_readings(integration_map, lens, now - KNOWN_FOR)}
    sentences = []
    for flow, queue in queues:
        last = read.get((flow, queue))
        if last is None or not read_lately(last, integration_map.flow(flow).every_s, now):
            why = f"{not_read(last)}, so whether dead letters wait is not known; `auditor run` reads the queues"
        elif last.message:
            why = f"cannot be read, so whether dead letters wait is not known: {last.message}"
        elif last.depth is None:
            why = "how many dead letters wait is not known" + (f": {last.notes}" if last.notes else "")
        elif (beyond := last.depth - (last.looked_at or 0)) > 0:
            why = f"{beyond:,} of {counted(last.depth, 'waiting letter')} {_were(beyond)} not looked at"
        else:
            continue
        sentences.append(f"{flow}, queue {queue}: {why}")
    return sentences


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def letters(integration_map: IntegrationMap, lens: Lens, since: datetime, limit: int | None = None) -> Waiting:
    """Dead letters that wait, latest first, and their groups by reason.

    Args:
        since: letters that disappeared before do not count when judging what later succeeded.
        limit: the most letters to list, None for all.
    """
    columns = lens.query(FATES, [since, list(integration_map.flows)]).to_pydict()
    fates = [
        LetterFate(
            flow=flow,
            key=key,
            signature=stored or signature(reason),
            recovered=gone and key is not None and divergence_id is None,
        )
        for flow, key, stored, reason, gone, divergence_id in zip(
            *(columns[name] for name in ("flow", "key", "signature", "reason", "gone", "divergence_id")), strict=True
        )
    ]
    unsafe = [name for name, flow in integration_map.flows.items() if flow.side_effects]
    all_letters = [
        _Told(*each)
        for each in zip(
            columns["id"],
            fates,
            prospects(fates, unsafe_flows=unsafe),
            *(columns[name] for name in ("gone", "divergence_id", "at_us")),
            strict=True,
        )
    ]
    by_reason: dict[tuple[str, str], list[_Told]] = defaultdict(list)
    for each in all_letters:
        by_reason[each.fate.flow, each.fate.signature].append(each)
    groups = [_group(members) for members in by_reason.values() if not all(each.gone for each in members)]
    waiting = [each for each in all_letters if not each.gone]
    replayable = [each for each in waiting if each.prospect is Prospect.REPLAYABLE]
    unknown = [each for each in waiting if each.prospect is Prospect.UNKNOWN]
    return Waiting(
        rows=_rows(lens, waiting[:limit]),
        letters=len(waiting),
        replayable=len(replayable),
        unknown=len(unknown),
        explains=_explained(waiting),
        fixes=_explained(replayable),
        fixes_most=_explained([*replayable, *unknown]),
        groups=sorted(groups, key=lambda each: (-each.letters, each.flow, each.signature)),
    )


def _rows(lens: Lens, wanted: Sequence[_Told]) -> list[LetterRow]:
    columns = [each.name for each in fields(LetterRow) if each.name not in {"signature", "prospect"}]
    sql = f"SELECT {', '.join(columns)} FROM dead_letters WHERE id IN (SELECT unnest(?::BIGINT[]))"  # noqa: S608
    by_id = {row["id"]: row for row in lens.query(sql, [[each.id for each in wanted]]).to_pylist()}
    return [LetterRow(**by_id[each.id], signature=each.fate.signature, prospect=each.prospect) for each in wanted]


def _from_to(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} … {most:,}"


def _explained(letters: Iterable[_Told]) -> int:
    return len({each.divergence_id for each in letters if each.divergence_id is not None})


def _group(members: Sequence[_Told]) -> Group:
    here = [each for each in members if not each.gone]
    return Group(
        flow=members[0].fate.flow,
        signature=members[0].fate.signature,
        letters=len(here),
        records=len({each.fate.key for each in here if each.fate.key is not None}),
        explains=_explained(here),
        recovered=sum(each.fate.recovered for each in members),
        first_at=_instant(min(each.at_us for each in here)),
        last_at=_instant(max(each.at_us for each in here)),
        prospects=dict(Counter(each.prospect.value for each in here)),
    )


def _instant(at_us: int) -> datetime:
    return EPOCH + at_us * MICROSECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """What happened to one flow's failed messages in `hours`, and what became of its dead letters."""

    flow: str
    hours: float
    stages: Sequence[Stage]
    fates: Mapping[Fate, int]

    def as_row(self) -> dict[str, Any]:
        """The funnel as one row of a table, each stage as its interval."""
        counts = {stage.name: [stage.least, stage.most] for stage in self.stages}
        return {"flow": self.flow, "hours": self.hours, **counts}


def funnels(integration_map: IntegrationMap, lens: Lens, since: datetime, until: datetime) -> list[Funnel]:
    """The recovery funnel of every flow that names a queue."""
    traffic_of = {row["flow"]: row for row in lens.query(FUNNEL, [since, until]).to_pylist()}
    changes = {row["flow"]: row["changes"] for row in lens.query(EMITTED, [since, until]).to_pylist()}
    by_flow: dict[str, list[QueueReading]] = defaultdict(list)
    for each in last_readings(integration_map, lens, since, until):
        by_flow[each.flow].append(each)
    arrived = {row["flow"]: row["arrived"] for row in lens.query(RETRIED, [since, until]).to_pylist()}
    hours = (until - since).total_seconds() / 3600
    result = []
    for flow in dict.fromkeys(flow for flow, _ in integration_map.queues):
        dead = [each for each in by_flow[flow] if each.role == "dead" and not each.message]
        row = traffic_of.get(flow, {})
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
        result.append(Funnel(flow=flow, hours=hours, stages=funnel(traffic), fates=fates(traffic)))
    return result


def explained(integration_map: IntegrationMap, lens: Lens) -> list[Explained]:
    """For each flow with queues, the share of its divergences that a waiting letter explains."""
    queued = {flow for flow, _ in integration_map.queues}
    return [
        Explained(flow=row["flow"], explained=row["explained"], open=row["open"])
        for row in lens.query(EXPLAINED).to_pylist()
        if row["flow"] in queued
    ]


FATES = """
    SELECT id, flow, key, signature, CASE WHEN signature IS NULL THEN reason END AS reason,
           gone_at IS NOT NULL AS gone, divergence_id, epoch_us(coalesce(first_failed_at, first_seen_at)) AS at_us
    FROM dead_letters WHERE (gone_at IS NULL OR gone_at >= ?) AND flow IN (SELECT unnest(?::VARCHAR[]))
    ORDER BY first_seen_at DESC, id DESC"""

FUNNEL = """
    SELECT flow, count(*) AS letters,
           count(*) FILTER (gone_at IS NOT NULL AND key IS NOT NULL AND divergence_id IS NULL) AS gone_right,
           count(*) FILTER (gone_at IS NOT NULL AND divergence_id IS NOT NULL) AS gone_wrong,
           count(*) FILTER (gone_at IS NOT NULL AND key IS NULL) AS gone_unknown
    FROM dead_letters WHERE first_seen_at >= ? AND first_seen_at <= ? GROUP BY flow"""

EMITTED = """
    SELECT flow, sum(changes)::BIGINT AS changes FROM probe_runs
    WHERE started_at >= ? AND started_at <= ? GROUP BY flow"""

RETRIED = """
    SELECT flow, sum(arrived - before) FILTER (arrived >= before)::BIGINT AS arrived FROM (
        SELECT flow, arrived, lag(arrived) OVER (PARTITION BY flow, queue ORDER BY read_at) AS before
        FROM backlogs WHERE role = 'retry' AND read_at >= ? AND read_at <= ?)
    GROUP BY flow"""

EXPLAINED = """
    SELECT d.flow, count(DISTINCT d.id) AS open,
           count(DISTINCT d.id) FILTER (l.divergence_id IS NOT NULL) AS explained
    FROM divergences d LEFT JOIN dead_letters l ON l.divergence_id = d.id AND l.gone_at IS NULL
    WHERE d.closed_at IS NULL GROUP BY d.flow ORDER BY d.flow"""
