"""The data of the pages: every figure comes from here, as pandas frames; no Streamlit."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from auditor.conflicts import decisions
from auditor.dashboard import queries
from auditor.dashboard.beats import Beat, Episode, beats
from auditor.dashboard.frames import frame
from auditor.dashboard.memo import Memo
from auditor.dashboard.open_spans import TURNS, open_spans
from auditor.dashboard.story import Story
from auditor.dashboard.time_range import TimeRange
from auditor.history import backlogs, coverage, lag, letters, misled, patterns
from auditor.history.archive_files import missing_since
from auditor.history.backlogs import Backlog, current_s
from auditor.history.budgets import BudgetUse, budget_use
from auditor.history.coverage import FlowCoverage
from auditor.history.lag import FlowLag
from auditor.history.lens import Lens
from auditor.history.letters import Explained, Funnel, Waiting
from auditor.history.misled import Misled
from auditor.history.objective_days import DayFigure, objective_days
from auditor.history.objectives import ObjectiveFigure, objectives
from auditor.history.patterns import Pattern
from auditor.history.status import STALE_INTERVALS, FlowStatus, flow_status, system_status
from auditor.history.views import VIEWS
from auditor.map.consumers import impact_of
from auditor.map.integration_map import IntegrationMap
from auditor.map.problems import MapError
from auditor.systems.allowance import open_allowances
from auditor.workspace import Workspace
from checks.coverage_days import CoverageCounts
from checks.escalation import Act, Conflict
from checks.objectives import WindowCounts
from checks.silences import Silence

REFRESH_AT_MOST_EVERY_S = 1.0

HELD_S = 3.0
"""How long at most the history is not refreshed because a page is being drawn."""

RENEW_AFTER = 10_000
"""Queries that a lens answers: until it is closed, DuckDB 2.0.0 keeps up to 1.1 KiB of each that scans Parquet."""

KEPT_ROWS = 1_000
"""Longer lists of divergences are not kept for others who ask: they may be all there are."""

BEATS = 40
"""Slots of a heartbeat strip."""


Asked = ParamSpec("Asked")
Figure = TypeVar("Figure")


def _shared(
    figure: Callable[Concatenate[Data, Asked], Figure],
) -> Callable[Concatenate[Data, Asked], Figure]:
    """All who ask for the same figures within a second get them from one computation, each a copy of their own."""

    @wraps(figure)
    def asked(self: Data, /, *args: Asked.args, **kwargs: Asked.kwargs) -> Figure:
        self._refresh()
        found = self.memo.get((figure.__name__, repr(args), repr(kwargs)), lambda: figure(self, *args, **kwargs))
        return copy(found)

    return asked


class NoLedgerError(Exception):
    """No auditor has recorded anything at the named place."""


class Data:
    """The dashboard's view of one installation; shared by all sessions.

    Raises:
        NoLedgerError: there is no ledger; reading never creates one.
        LedgerError: there is one, but it is unusable.
    """

    def __init__(self, integration_map: IntegrationMap, workspace: Workspace) -> None:
        self.map = integration_map
        self.workspace = workspace
        ledger = workspace.existing_ledger()
        if ledger is None:
            local = workspace.ledger_url.startswith("sqlite:")
            raise NoLedgerError(str(workspace.folder) if local else "the database of AUDITOR_LEDGER")
        self.ledger = ledger
        self.lens = Lens(self.ledger)
        self.memo = Memo()
        self.allowances = open_allowances(integration_map.systems, ledger.spending)
        self._lock = threading.Lock()
        self._refreshed, self._refreshed_at = 0.0, datetime.now(UTC)
        self._draws = 0
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="figures")
        self._types: dict[str, list[tuple[str, str]]] = {}
        self._in_force = self._loaded_last()

    def _loaded_last(self) -> int:
        in_force = self.ledger.map_loads.standing().in_force
        return 0 if in_force is None else in_force.number

    def follow(self, read: Callable[[], IntegrationMap]) -> None:
        """Show the newer map if the auditor has put one in force since; a file with mistakes changes nothing.

        Args:
            read: reads the map. Raises MapError.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        number = self._loaded_last()
        if number == self._in_force:
            return
        with contextlib.suppress(MapError):
            newer = read()
            self.map, self.allowances = newer, open_allowances(newer.systems, self.ledger.spending)
            self._in_force = number
            self.changed()

    def share(self, key: Hashable, compute: Callable[[], Figure]) -> Figure:
        """What all who ask for this within a second get from one computation; nobody may change it."""
        self._refresh()
        return self.memo.get(key, compute)

    @contextmanager
    def held(self) -> Iterator[datetime]:
        """The figures of a draw belong together: inside, nothing is refreshed, for at most `HELD_S`.

        Yields:
            When the history was refreshed. Draws whose time range ends then ask for the same figures.
        """
        self._refresh()
        with self._lock:
            self._draws += 1
            refreshed_at = self._refreshed_at
        try:
            yield refreshed_at
        finally:
            with self._lock:
                self._draws -= 1

    def ahead(self, *figures: Callable[[], object]) -> None:
        """Begin to compute figures that a page shows further down, beside what it shows first.

        Who asks for one while it is computed waits for it. Whoever asks for one that cannot be computed is told why.
        """
        begun = self._refreshed
        for each in figures:
            self._beside.submit(self._unless_renewed, begun, each)

    def _unless_renewed(self, begun: float, figure: Callable[[], object]) -> None:
        if begun == self._refreshed:
            figure()

    def _refresh(self) -> None:
        with self._lock:
            if time.monotonic() - self._refreshed > (HELD_S if self._draws else REFRESH_AT_MOST_EVERY_S):
                self._renew()
                self.lens.refresh()
                self.memo.clear()
                self._refreshed, self._refreshed_at = time.monotonic(), datetime.now(UTC)

    def _renew(self) -> None:
        """Replace the lens after many queries; the old one is freed when its last query ends.

        It stays if archive files are missing: it may hold the only copy of their rows.
        """
        if self.lens.answered >= RENEW_AFTER and not self.lens.missing:
            fresh = Lens(self.ledger)
            fresh.refresh()  # before anyone can ask it
            self.lens = fresh

    def changed(self) -> None:
        """Something was written that the next query must see."""
        with self._lock:
            self._refreshed = 0.0
            self.memo.clear()

    @_shared
    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """The rows of a query over the views, without those of flows that the map no longer names.

        A page runs its own queries with this.
        """
        return self._read(sql, parameters)

    def _read(self, sql: str, parameters: Sequence[Any]) -> pd.DataFrame:
        frame = self.lens.query(sql, parameters).to_pandas()
        if "flow" in frame.columns:  # flows that the map no longer names are history and not shown
            frame = frame[frame["flow"].isna() | frame["flow"].isin(list(self.map.flows))].reset_index(drop=True)
        return frame

    def column_types(self) -> dict[str, list[tuple[str, str]]]:
        """By view, the names and engine types of its columns."""
        if not self._types:
            described = {view: self.lens.query(f"DESCRIBE {view}").to_pylist() for view in VIEWS}
            self._types = {
                view: [(row["column_name"], row["column_type"]) for row in rows] for view, rows in described.items()
            }
        return self._types

    @_shared
    def missing_history(self, span: TimeRange) -> list[str]:
        """The archive files that figures of the time range lack, one sentence each."""
        return [str(each) for each in missing_since(self.lens.missing, span.begin, span.end)]

    def close(self) -> None:
        """Release the lens and the ledger."""
        self._beside.shutdown(cancel_futures=True)
        self.lens.close()
        self.ledger.close()

    @_shared
    def flows(self) -> list[FlowStatus]:
        """The state of every flow."""
        return flow_status(self.map, self.ledger, datetime.now(UTC))

    def all_known(self) -> bool:
        """Whether every flow is fully verified, so that what is not listed does not exist."""
        return all(flow.unknown is None for flow in self.flows())

    @_shared
    def systems(self) -> pd.DataFrame:
        """The availability of every system."""
        return frame(system_status(self.map, self.ledger, datetime.now(UTC)))

    def budgets(self) -> list[BudgetUse]:
        """How the budget of every system is used."""
        return budget_use(self.map, self.ledger, datetime.now(UTC))

    def last_audit_at(self) -> datetime | None:
        """When anything was audited last."""
        seen = [flow.audited_at for flow in self.flows() if flow.audited_at is not None]
        return max(seen, default=None)

    def windows(self, span: TimeRange) -> pd.DataFrame:
        """Changes by flow and verdict: flow, met, breach, undecided, superseded, pending."""
        return self.query(queries.WINDOWS, [span.begin, span.end, span.begin, span.end])

    @_shared
    def objectives(self) -> list[ObjectiveFigure]:
        """Every objective of every flow, over the period of its flow's SLA."""
        now = datetime.now(UTC)
        return objectives(self.map, self.ledger, self.lens, now, now)

    @_shared
    def objective_days(self, figure: ObjectiveFigure) -> list[DayFigure]:
        """How an objective fared on each day of its period."""
        return objective_days(self.map.flow(figure.flow), figure, self.lens, datetime.now(UTC))

    def incidents_by_flow(self) -> dict[str, int]:
        """How many incidents are open on each flow that has any."""
        found = self.query(queries.INCIDENTS_BY_FLOW)
        return dict(zip(found["flow"], map(int, found["incidents"]), strict=True))

    def open_by_cause(self) -> pd.DataFrame:
        """Open divergences: flow, cause, family, records, oldest."""
        return self.query(queries.OPEN_BY_CAUSE)

    def timeline(self, span: TimeRange) -> pd.DataFrame:
        """Records that newly differ, by time and cause: bucket_at, family, cause, opened."""
        return self.query(queries.TIMELINE, [span.bucket, span.begin, span.end, list(self.map.flows)])

    @_shared
    def beats(self, span: TimeRange) -> dict[str, list[Beat]]:
        """What the audits of each flow found over the time range, in `BEATS` slots of equal length, oldest first."""
        (begin, slot_ms), end = span.slots(BEATS), span.end
        runs = self.query(queries.SLOTS, [begin, slot_ms, begin, end])
        read = {row.flow: dict(zip(row.slots, row.unread, strict=True)) for row in runs.itertuples()}
        episodes: dict[str, list[Episode]] = defaultdict(list)
        spans = self.query(queries.EPISODES, [begin, slot_ms, end, begin, slot_ms, end, begin])
        for row in spans.itertuples():
            episodes[row.flow].append(Episode(timing=bool(row.timing), first=int(row.first), last=int(row.last)))
        return {
            name: beats(
                read.get(name, {}),
                episodes[name],
                slots=BEATS,
                bridged=math.ceil(STALE_INTERVALS * self.map.flow(name).every_s * 1000 / slot_ms),
            )
            for name in self.map.flows
        }

    @_shared
    def shares(self, span: TimeRange) -> list[float | None]:
        """The share of changes within their windows in each of `BEATS` slots of the time range; None without any."""
        begin, slot_ms = span.slots(BEATS)
        slots = [begin, slot_ms, begin, span.end, list(self.map.flows)]
        found = self.query(queries.SHARES, slots).set_index("slot")["share"].reindex(range(BEATS))
        return [None if pd.isna(each) else float(each) for each in found]

    @_shared
    def letters_waiting(self, span: TimeRange) -> list[int | None]:
        """How many dead letters waited in all queues of the map at most, in each of `BEATS` slots of the time range.

        The largest reading of each queue counts; where a slot has none, the last one before it, for as long as that
        is current. None for slots in which one was not read yet, or not lately, or its depth is unknown.
        """
        begin, slot_ms = span.slots(BEATS)
        found = self.query(queries.LETTERS_WAITING, [begin, slot_ms, begin, span.end])
        depths = pd.DataFrame(
            {
                queue: rows["most"].fillna(
                    rows["depth"].ffill(limit=math.ceil(current_s(self.map.flow(queue[0]).every_s) * 1000 / slot_ms))
                )
                for queue, rows in (
                    (queue, rows.set_index("slot").reindex(range(BEATS)))
                    for queue, rows in found.groupby(["flow", "queue"])
                )
                if queue in self.map.queues
            },
            index=range(BEATS),
        )
        known = depths.notna().all(axis=1) & (depths >= 0).all(axis=1) & (len(depths.columns) > 0)
        return [int(depth) if certain else None for depth, certain in zip(depths.sum(axis=1), known, strict=True)]

    def depths(self, span: TimeRange) -> dict[tuple[str, str], list[int]]:
        """By flow and queue, its largest depth in each of `BEATS` slots of the time range in which it was known."""
        begin, slot_ms = span.slots(BEATS)
        found = self.query(queries.DEPTHS, [begin, slot_ms, begin, span.end])
        return {
            (flow, queue): rows.sort_values("slot")["depth"].astype(int).tolist()
            for (flow, queue), rows in found.groupby(["flow", "queue"])
        }

    def conflicts_open(self, span: TimeRange) -> list[int]:
        """The most conflicts that were open at one time in each of `BEATS` slots of the time range.

        Decided ones that are not carried out are included.
        """
        begin, slot_ms = span.slots(BEATS)
        slots = [list(self.map.flows), begin, slot_ms, BEATS, begin, slot_ms, BEATS]
        found = self.query(queries.CONFLICTS_OPEN, slots)
        return list(map(int, found["conflicts"]))

    def count_divergences(
        self, span: TimeRange, *, flows: Sequence[str], causes: Sequence[str], states: Sequence[str], search: str
    ) -> int:
        """How many divergences match; open ones count whenever they were last seen."""
        matching = self._matching(span, flows, causes, states, search)
        frame = self.query(f"SELECT count(*) AS n FROM divergences WHERE {queries.MATCHING}", matching)  # noqa: S608
        return int(frame["n"].iloc[0])

    def facets(self, span: TimeRange, search: str) -> pd.DataFrame:
        """How many divergences there are: flow, cause, state, records."""
        seen = [span.begin, span.end]
        return self.query(queries.FACETS_OF_KEYS, [*seen, search]) if search else self.query(queries.FACETS, seen)

    def divergences(
        self,
        span: TimeRange,
        *,
        flows: Sequence[str],
        causes: Sequence[str],
        states: Sequence[str],
        search: str,
        limit: int,
        offset: int = 0,
    ) -> pd.DataFrame:
        """Divergences that match, latest first."""
        matching = self._matching(span, flows, causes, states, search)
        if limit > KEPT_ROWS:
            self._refresh()
            return self._read(queries.DIVERGENCES, [*matching, limit, offset])
        return self.query(queries.DIVERGENCES, [*matching, limit, offset])

    def _matching(
        self, span: TimeRange, flows: Sequence[str], causes: Sequence[str], states: Sequence[str], search: str
    ) -> list[Any]:
        return [span.begin, span.end, list(flows or self.map.flows), list(causes), list(causes), list(states), search]

    def story(self, span: TimeRange, data_type: str, key: str) -> Story:
        """What is on file about one record: its changes, divergences, dead letters, and incidents of these."""
        flows = {name: flow for name, flow in self.map.flows.items() if flow.data_type == data_type}
        divergences = self.query(queries.RECORD_DIVERGENCES, [data_type, list(flows), key])
        changes = self.query(queries.RECORD_CHANGES, [list(flows), key])
        numbers = pd.concat([divergences["incident_id"], changes["incident_id"]]).dropna().astype(int)
        order = [self.map.data_types[data_type].owner, *self.map.data_types[data_type].in_]
        incidents = self.query(queries.RECORD_INCIDENTS, [sorted(set(numbers.tolist()))])
        turns = self.query(TURNS, [incidents["id"].tolist()])
        incidents = incidents.assign(spans=open_spans(incidents, turns, span.end))
        ordered = sorted(flows.items(), key=lambda each: (order.index(each[1].from_), order.index(each[1].to)))
        return Story(
            owner=order[0],
            routes={name: (flow.from_, flow.to) for name, flow in ordered},
            changes=changes,
            divergences=divergences,
            letters=self.query(queries.RECORD_LETTERS, [list(flows), key]),
            incidents=incidents,
            begin=span.begin,
            now=span.end,
        )

    def unverified(self, flows: Sequence[str]) -> pd.DataFrame:
        """What cannot be verified now, longest first: flow, subject, name, reason, records, first_seen_at."""
        return self.query(queries.UNVERIFIED, [list(flows or self.map.flows)])

    @_shared
    def lags(self, span: TimeRange) -> list[FlowLag]:
        """How long the changes of every flow take to arrive."""
        return lag.lags(self.map, self.lens, span.begin, span.end)

    @_shared
    def heat(self, span: TimeRange, flow: str) -> tuple[list[datetime], Any]:
        """The share of each hour's changes by lag cell: the hours, and an array of shape (cells, hours)."""
        return lag.heat(self.lens, flow, span.begin, span.end)

    @_shared
    def weekly(self, flow: str) -> dict[tuple[int, int], WindowCounts]:
        """By weekday and hour of the day, how many changes kept their windows over the period of the flow's SLA."""
        period_s = self.map.flow(flow).settings.sla.period_s
        return lag.weekly(self.lens, flow, datetime.now(UTC) - timedelta(seconds=period_s))

    def clock_steps(self, span: TimeRange) -> pd.DataFrame:
        """Clock steps: system, stepped_at, by_s."""
        return self.query(queries.CLOCK_STEPS, [span.begin, span.end])

    @_shared
    def misled(self) -> list[Misled]:
        """Consumers that are reading wrong values now, gravest first."""
        return misled.misled(self.map, self.lens)

    @_shared
    def patterns(self) -> list[Pattern]:
        """Single mistakes that explain many records."""
        return patterns.patterns(self.map, self.lens)

    def impact_text(self, flow: str, cause: str, winner: str) -> str:
        """Who reads a wrong value when a record of this flow differs."""
        return str(impact_of(self.map, flow, cause, winner)) if flow in self.map.flows else ""

    def conflicts(self, *, live_only: bool) -> list[Conflict]:
        """Conflicts that no rule decides, latest first."""
        return [each for each in self.ledger.conflicts.listed(live_only=live_only) if each.flow in self.map.flows]

    def act(self, conflict_id: int, what: Act, **more: Any) -> None:
        """Record what a person does about a conflict. Raises RefusedError."""
        decisions.act(self.map, self.ledger, conflict_id, what, **more)

    def decide_waiting(self, since: datetime, choice: str, *, who: str, known_by: str) -> int:
        """Decide for one system in all conflicts that came up since an instant and wait.

        Returns:
            How many were decided.
        """
        now = datetime.now(UTC)
        return decisions.decide_waiting(
            self.map, self.ledger, since=since, choice=choice, now=now, who=who, known_by=known_by
        )

    @_shared
    def backlogs(self) -> list[Backlog]:
        """Every queue read in the last hour, from its latest readings."""
        return backlogs.backlogs(self.map, self.lens, datetime.now(UTC) - timedelta(hours=1))

    @_shared
    def funnels(self, span: TimeRange) -> list[Funnel]:
        """What happened to failed messages, by flow."""
        return letters.funnels(self.map, self.lens, span.begin, span.end)

    def evidence(self, letter: int) -> tuple[dict[str, str], str | None]:
        """A dead letter's headers and payload, as far as its queue's policy allows them to be stored."""
        self._refresh()
        (row,) = self.lens.query(queries.EVIDENCE, [letter]).to_pylist() or [{"headers": None, "payload": None}]
        return json.loads(row["headers"] or "{}"), row["payload"]

    @_shared
    def letters(self, span: TimeRange, limit: int) -> Waiting:
        """Waiting dead letters: the latest of them, and all grouped by reason."""
        return letters.letters(self.map, self.lens, span.begin, limit)

    @_shared
    def unseen_letters(self) -> list[str]:
        """What is unknown about the dead letters now, one sentence per queue."""
        return letters.unseen_letters(self.map, list(self.map.flows), self.lens, datetime.now(UTC))

    @_shared
    def explained(self) -> list[Explained]:
        """By flow, how many of its open divergences a dead letter explains."""
        return letters.explained(self.map, self.lens)

    def noise(self, span: TimeRange) -> pd.DataFrame:
        """Unstable fields: flow, system, field, differed, reread."""
        return self.query(queries.NOISE, [span.begin, span.end])

    def open_incidents(self) -> pd.DataFrame:
        """Open incidents, the gravest first: id, severity, breach, cause, flow, system, count, peak, summary, ..."""
        return self.query(queries.OPEN_INCIDENTS)

    def silences(self) -> list[Silence]:
        """The silences that hold now."""
        now = datetime.now(UTC)
        return [each for each in self.ledger.silences.listed(at=now) if each.holds(now)]

    def alerts(self, span: TimeRange) -> pd.DataFrame:
        """Messages of the outbox, latest first."""
        return self.query(queries.ALERTS, [span.begin, span.end])

    @_shared
    def undelivered(self) -> pd.DataFrame:
        """Receivers with undelivered messages of the last day: sender, state, given_up, error, messages, since_at."""
        return self.query(queries.UNDELIVERED, [datetime.now(UTC) - timedelta(days=1)])

    @_shared
    def coverage(self, span: TimeRange) -> list[FlowCoverage]:
        """How much of every flow is verified."""
        return coverage.coverage(
            self.map, self.ledger, self.lens, span.begin, datetime.now(UTC), until=span.end, statuses=self.flows()
        )

    @_shared
    def coverage_days(self, flow: str) -> list[tuple[date, CoverageCounts]]:
        """What the audits of a flow came to on each day of the period of its SLA."""
        now = datetime.now(UTC)
        begin = now - timedelta(seconds=self.map.flow(flow).settings.sla.period_s)
        return coverage.coverage_days(flow, self.lens, begin, now)
