"""What the pages ask: every figure comes from here, as pandas frames; no Streamlit."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from auditor.alerts.objectives import within_window
from auditor.conflicts import decisions
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import Since
from auditor.history import backlogs, coverage, lag, letters, misled, patterns
from auditor.history.archive_files import missing_since
from auditor.history.backlogs import Backlog
from auditor.history.coverage import FlowCoverage
from auditor.history.lag import FlowLag
from auditor.history.lens import Lens
from auditor.history.letters import Explained, Funnel, Waiting
from auditor.history.misled import Misled
from auditor.history.patterns import Pattern
from auditor.history.status import FlowStatus, flow_status, system_status
from auditor.map.consumers import impact_of
from auditor.map.integration_map import IntegrationMap
from auditor.workspace import Workspace
from checks.escalation import Act, Conflict
from checks.objectives import WindowObjective

REFRESH_AT_MOST_EVERY_S = 1.0


class NoLedgerError(Exception):
    """No auditor has recorded anything in the place that this names."""


class Data:
    """The dashboard's view of one installation; shared by all sessions.

    Raises:
        NoLedgerError: there is none, and one who only looks makes none.
        LedgerError: there is one that cannot be used.
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
        self._lock = threading.Lock()
        self._refreshed = 0.0

    def _refresh(self) -> None:
        with self._lock:
            if time.monotonic() - self._refreshed > REFRESH_AT_MOST_EVERY_S:
                self.lens.refresh()
                self._refreshed = time.monotonic()

    def _frame(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        self._refresh()
        frame = self.lens.query(sql, parameters).to_pandas()
        if "flow" in frame.columns:  # what the map no longer names is history, and not shown
            frame = frame[frame["flow"].isna() | frame["flow"].isin(list(self.map.flows))].reset_index(drop=True)
        return frame

    def missing_history(self, since: Since) -> list[str]:
        """The files of the archive that figures of the time range lack, a sentence for each."""
        self._refresh()
        return [str(each) for each in missing_since(self.lens.missing, since.at)]

    def close(self) -> None:
        """Release the lens and the ledger."""
        self.lens.close()
        self.ledger.close()

    def flows(self) -> list[FlowStatus]:
        """How every flow stands."""
        return flow_status(self.map, self.ledger, datetime.now(UTC))

    def all_known(self) -> bool:
        """Whether nothing keeps any flow from being known whole, so that what is not listed is not there."""
        return all(flow.unknown is None for flow in self.flows())

    def systems(self) -> pd.DataFrame:
        """How every system has been answering."""
        return frame(system_status(self.map, self.ledger, datetime.now(UTC)))

    def last_audit_at(self) -> datetime | None:
        """When anything was audited last."""
        seen = [flow.audited_at for flow in self.flows() if flow.audited_at is not None]
        return max(seen, default=None)

    def windows(self, since: Since) -> pd.DataFrame:
        """Changes by flow and verdict: flow, met, breach, undecided, superseded, pending."""
        return self._frame(WINDOWS, [since.at])

    def objectives(self) -> dict[str, WindowObjective]:
        """By flow, the changes of the last day against the share that is promised within the window."""
        now = datetime.now(UTC)
        return {name: within_window(self.map.flow(name), self.ledger, now) for name in self.map.flows}

    def open_by_cause(self) -> pd.DataFrame:
        """Open divergences: flow, cause, family, records, oldest."""
        return self._frame(OPEN_BY_CAUSE)

    def timeline(self, since: Since) -> pd.DataFrame:
        """Records that newly differ, by time and family: bucket_at, family, opened."""
        return self._frame(TIMELINE.format(bucket=since.bucket), [since.at])

    def heartbeats(self, since: Since) -> pd.DataFrame:
        """The last forty audits of each flow: flow, shares, unknown (of the records read, oldest first).

        `shares` of them differ or could not be verified, `unknown` could not; of an audit that failed it is all.
        """
        return self._frame(HEARTBEATS, [since.at])

    def count_divergences(
        self, since: Since, *, flows: Sequence[str], causes: Sequence[str], states: Sequence[str], search: str
    ) -> int:
        """How many divergences match; those still open whenever they were seen last."""
        matching = self._matching(since, flows, causes, states, search)
        frame = self._frame(f"SELECT count(*) AS n FROM divergences WHERE {MATCHING}", matching)  # noqa: S608
        return int(frame["n"].iloc[0])

    def divergences(
        self,
        since: Since,
        *,
        flows: Sequence[str],
        causes: Sequence[str],
        states: Sequence[str],
        search: str,
        limit: int,
        offset: int,
    ) -> pd.DataFrame:
        """Divergences that match, latest first."""
        return self._frame(DIVERGENCES, [*self._matching(since, flows, causes, states, search), limit, offset])

    def _matching(
        self, since: Since, flows: Sequence[str], causes: Sequence[str], states: Sequence[str], search: str
    ) -> list[Any]:
        return [since.at, list(flows or self.map.flows), list(causes), list(causes), list(states), search]

    def record_history(self, data_type: str, key: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Divergences, changes and dead letters of one record."""
        flows = [name for name, flow in self.map.flows.items() if flow.data_type == data_type]
        return (
            self._frame(RECORD_DIVERGENCES, [data_type, key]),
            self._frame(RECORD_CHANGES, [flows, key]),
            self._frame(RECORD_LETTERS, [flows, key]),
        )

    def unverified(self, flows: Sequence[str]) -> pd.DataFrame:
        """What cannot be verified now, longest first: flow, subject, name, reason, records, first_seen_at."""
        return self._frame(UNVERIFIED, [list(flows or self.map.flows)])

    def lags(self, since: Since) -> list[FlowLag]:
        """How long the changes of every flow take to arrive."""
        self._refresh()
        return lag.lags(self.map, self.lens, since.at, datetime.now(UTC))

    def heat(self, since: Since, flow: str) -> tuple[list[datetime], Any]:
        """The share of each hour's changes by lag cell: the hours, and an array of shape (cells, hours)."""
        self._refresh()
        return lag.heat(self.lens, flow, since.at, datetime.now(UTC))

    def clock_steps(self, since: Since) -> pd.DataFrame:
        """Clocks that were found to have been set: system, stepped_at, by_s."""
        return self._frame(CLOCK_STEPS, [since.at])

    def misled(self) -> list[Misled]:
        """Consumers that act on wrong values now, the gravest first."""
        self._refresh()
        return misled.misled(self.map, self.lens)

    def patterns(self) -> list[Pattern]:
        """Single mistakes that explain many records."""
        self._refresh()
        return patterns.patterns(self.map, self.lens)

    def impact_text(self, flow: str, cause: str, winner: str) -> str:
        """Who acts on a wrong value where a record of this flow differs."""
        return str(impact_of(self.map, flow, cause, winner)) if flow in self.map.flows else ""

    def conflicts(self, *, live_only: bool) -> list[Conflict]:
        """Conflicts that no rule decides, latest first."""
        return [each for each in self.ledger.conflicts.listed(live_only=live_only) if each.flow in self.map.flows]

    def act(self, conflict_id: int, what: Act, **more: Any) -> None:
        """Write down what a person does about a conflict. Raises RefusedError."""
        decisions.act(self.map, self.ledger, conflict_id, what, **more)

    def backlogs(self) -> list[Backlog]:
        """Every queue read in the last hour, as its last readings tell."""
        self._refresh()
        return backlogs.backlogs(self.map, self.lens, datetime.now(UTC) - timedelta(hours=1))

    def funnels(self, since: Since) -> list[Funnel]:
        """What became of failed messages, by flow."""
        self._refresh()
        return letters.funnels(self.map, self.lens, since.at, datetime.now(UTC))

    def evidence(self, letter: int) -> tuple[dict[str, str], str | None]:
        """A dead letter's headers and payload, as far as its queue's policy lets them be kept."""
        self._refresh()
        (row,) = self.lens.query(EVIDENCE, [letter]).to_pylist() or [{"headers": None, "payload": None}]
        return json.loads(row["headers"] or "{}"), row["payload"]

    def letters(self, since: Since, limit: int) -> Waiting:
        """Dead letters that wait, the latest of them one by one, and their groups by reason."""
        self._refresh()
        return letters.letters(self.map, self.lens, since.at, limit)

    def unseen_letters(self) -> list[str]:
        """What is not known now of the dead letters, a sentence for each queue."""
        self._refresh()
        return letters.unseen_letters(self.map, list(self.map.flows), self.lens, datetime.now(UTC))

    def explained(self) -> list[Explained]:
        """By flow, how many of its open divergences a dead letter explains."""
        self._refresh()
        return letters.explained(self.map, self.lens)

    def noise(self, since: Since) -> pd.DataFrame:
        """Fields that differed from themselves: flow, system, field, differed, reread."""
        return self._frame(NOISE, [since.at])

    def incidents(self, since: Since) -> pd.DataFrame:
        """Incidents that are open or were in this range, latest first."""
        return self._frame(INCIDENTS, [since.at])

    def alerts(self, since: Since) -> pd.DataFrame:
        """Messages of the outbox, latest first."""
        return self._frame(ALERTS, [since.at])

    def undelivered(self, since: Since) -> pd.DataFrame:
        """Receivers that the latest messages did not reach: sender, state, error, messages, since_at."""
        return self._frame(UNDELIVERED, [since.at])

    def coverage(self, since: Since) -> list[FlowCoverage]:
        """How much of what should be known of every flow is known."""
        self._refresh()
        return coverage.coverage(self.map, self.ledger, self.lens, since.at, datetime.now(UTC))


WINDOWS = """
    SELECT flow,
           count(*) FILTER (verdict = 'met') AS met,
           count(*) FILTER (verdict LIKE 'breach%') AS breach,
           count(*) FILTER (verdict = 'undecided') AS undecided,
           count(*) FILTER (verdict = 'superseded') AS superseded,
           count(*) FILTER (verdict = 'pending') AS pending
    FROM changes WHERE coalesce(settled_at, enrolled_at) >= ? GROUP BY flow ORDER BY flow"""

OPEN_BY_CAUSE = """
    SELECT flow, cause, any_value(family) AS family, count(*) AS records, min(first_seen_at) AS oldest
    FROM divergences WHERE state = 'open' GROUP BY flow, cause ORDER BY records DESC"""

TIMELINE = """
    SELECT time_bucket({bucket}, opened_at) AS bucket_at, family, count(*) AS opened
    FROM divergences WHERE opened_at >= ? GROUP BY ALL ORDER BY bucket_at"""

HEARTBEATS = """
    WITH latest AS (
        SELECT flow, started_at,
               CASE WHEN reason IS NOT NULL THEN 1 WHEN read > 0 THEN (divergent + cannot_verify) / read ELSE 0 END
                   AS share,
               CASE WHEN reason IS NOT NULL THEN 1 WHEN read > 0 THEN cannot_verify / read ELSE 0 END AS unknown,
               row_number() OVER (PARTITION BY flow ORDER BY started_at DESC) AS back
        FROM probe_runs WHERE started_at >= greatest(?, now() - INTERVAL 1 HOUR) AND coalesce(in_turn, true))
    SELECT flow, list(share ORDER BY started_at) AS shares,
           list(unknown ORDER BY started_at) AS unknown
    FROM latest WHERE back <= 40 GROUP BY flow"""

MATCHING = """
    (closed_at IS NULL OR last_seen_at >= ?) AND flow IN (SELECT unnest(?::VARCHAR[]))
    AND (len(?::VARCHAR[]) = 0 OR cause IN (SELECT unnest(?::VARCHAR[])))
    AND state IN (SELECT unnest(?::VARCHAR[])) AND contains(key, ?)"""

DIVERGENCES = f"""
    SELECT data_type, key, flow, kind, cause, family, state, fields, differences, detail,
           coalesce(winner, '') AS winner, coalesce(resolution, '') AS resolution,
           (SELECT min(signature) FROM dead_letters
            WHERE divergence_id = divergences.id AND gone_at IS NULL) AS letter,
           first_seen_at, last_seen_at, opened_at, closed_at
    FROM divergences WHERE {MATCHING}
    ORDER BY last_seen_at DESC, id DESC LIMIT ? OFFSET ?"""  # noqa: S608

UNVERIFIED = """
    SELECT flow, subject, name, reason, records, first_seen_at, last_seen_at, readings
    FROM unverified WHERE cleared_at IS NULL AND flow IN (SELECT unnest(?::VARCHAR[]))
    ORDER BY first_seen_at, id"""

RECORD_DIVERGENCES = """
    SELECT flow, kind, cause, state, fields, differences, detail, resolution, witnesses, versions_behind,
           first_missed_at, readings, first_seen_at, opened_at, closed_at
    FROM divergences WHERE data_type = ? AND key = ? ORDER BY first_seen_at DESC LIMIT 100"""

RECORD_CHANGES = """
    SELECT flow, verdict, committed_from_at, committed_to_at, shown_at, lag_lower_s, lag_upper_s, window_s, probes
    FROM changes WHERE flow IN (SELECT unnest(?::VARCHAR[])) AND key = ?
    ORDER BY committed_to_at DESC LIMIT 100"""

EVIDENCE = "SELECT headers, payload FROM dead_letters WHERE id = ?"

RECORD_LETTERS = """
    SELECT flow, queue, reason, attempts, first_failed_at, gone_at
    FROM dead_letters WHERE flow IN (SELECT unnest(?::VARCHAR[])) AND key = ?
    ORDER BY first_seen_at DESC LIMIT 100"""

CLOCK_STEPS = """
    SELECT system, stepped_at,
           (after_lower_s + after_upper_s - before_lower_s - before_upper_s) / 2 AS by_s
    FROM clock_steps WHERE stepped_at >= ? ORDER BY stepped_at DESC LIMIT 50"""

NOISE = """
    SELECT flow, system, field, sum(differed)::BIGINT AS differed, sum(reread)::BIGINT AS reread
    FROM noise WHERE hour_at >= date_trunc('hour', ?) GROUP BY ALL HAVING sum(differed) > 0 ORDER BY differed DESC"""

INCIDENTS = """
    SELECT id, state, breach, coalesce(flow, system) AS subject, flow, count, peak, summary, reopened, opened_at,
           resolved_at
    FROM incidents WHERE resolved_at IS NULL OR resolved_at >= ? ORDER BY resolved_at IS NOT NULL, opened_at DESC
    LIMIT 500"""

UNDELIVERED = """
    WITH tried AS (SELECT * FROM alerts WHERE created_at >= ? AND (state IN ('sent', 'failed') OR error IS NOT NULL)),
    latest AS (SELECT sender, max(id) FILTER (state = 'sent') AS reached FROM tried GROUP BY sender)
    SELECT sender, arg_max(tried.state, id) AS state, arg_max(error, id) AS error, count(*) AS messages,
           min(created_at) AS since_at
    FROM tried JOIN latest USING (sender)
    WHERE id > coalesce(reached, 0) GROUP BY sender ORDER BY sender"""

ALERTS = """
    SELECT incident_id, transition, sender, state, created_at, sent_at, tries, possible_repeat, error
    FROM alerts WHERE created_at >= ? ORDER BY id DESC LIMIT 200"""
