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
from auditor.dashboard import queries
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

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """The rows of the views that a query answers, without those of flows that the map no longer names.

        What only one page shows is asked by that page, with this.
        """
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
        return self.query(queries.WINDOWS, [since.at])

    def objectives(self) -> dict[str, WindowObjective]:
        """By flow, the changes of the last day against the share that is promised within the window."""
        now = datetime.now(UTC)
        return {name: within_window(self.map.flow(name), self.ledger, now) for name in self.map.flows}

    def open_by_cause(self) -> pd.DataFrame:
        """Open divergences: flow, cause, family, records, oldest."""
        return self.query(queries.OPEN_BY_CAUSE)

    def timeline(self, since: Since) -> pd.DataFrame:
        """Records that newly differ, by time and family: bucket_at, family, opened."""
        return self.query(queries.TIMELINE, [since.bucket, since.at])

    def heartbeats(self, since: Since) -> pd.DataFrame:
        """The last forty audits of each flow: flow, shares, unknown (of the records read, oldest first).

        `shares` of them differ or could not be verified, `unknown` could not; of an audit that failed it is all.
        """
        return self.query(queries.HEARTBEATS, [since.at])

    def count_divergences(
        self, since: Since, *, flows: Sequence[str], causes: Sequence[str], states: Sequence[str], search: str
    ) -> int:
        """How many divergences match; those still open whenever they were seen last."""
        matching = self._matching(since, flows, causes, states, search)
        frame = self.query(f"SELECT count(*) AS n FROM divergences WHERE {queries.MATCHING}", matching)  # noqa: S608
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
        return self.query(queries.DIVERGENCES, [*self._matching(since, flows, causes, states, search), limit, offset])

    def _matching(
        self, since: Since, flows: Sequence[str], causes: Sequence[str], states: Sequence[str], search: str
    ) -> list[Any]:
        return [since.at, list(flows or self.map.flows), list(causes), list(causes), list(states), search]

    def record_history(self, data_type: str, key: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Divergences, changes and dead letters of one record."""
        flows = [name for name, flow in self.map.flows.items() if flow.data_type == data_type]
        return (
            self.query(queries.RECORD_DIVERGENCES, [data_type, key]),
            self.query(queries.RECORD_CHANGES, [flows, key]),
            self.query(queries.RECORD_LETTERS, [flows, key]),
        )

    def unverified(self, flows: Sequence[str]) -> pd.DataFrame:
        """What cannot be verified now, longest first: flow, subject, name, reason, records, first_seen_at."""
        return self.query(queries.UNVERIFIED, [list(flows or self.map.flows)])

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
        return self.query(queries.CLOCK_STEPS, [since.at])

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
        (row,) = self.lens.query(queries.EVIDENCE, [letter]).to_pylist() or [{"headers": None, "payload": None}]
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
        return self.query(queries.NOISE, [since.at])

    def incidents(self, since: Since) -> pd.DataFrame:
        """Incidents that are open or were in this range, latest first."""
        return self.query(queries.INCIDENTS, [since.at])

    def alerts(self, since: Since) -> pd.DataFrame:
        """Messages of the outbox, latest first."""
        return self.query(queries.ALERTS, [since.at])

    def undelivered(self, since: Since) -> pd.DataFrame:
        """Receivers that the latest messages did not reach: sender, state, error, messages, since_at."""
        return self.query(queries.UNDELIVERED, [since.at])

    def coverage(self, since: Since) -> list[FlowCoverage]:
        """How much of what should be known of every flow is known."""
        self._refresh()
        return coverage.coverage(self.map, self.ledger, self.lens, since.at, datetime.now(UTC))
