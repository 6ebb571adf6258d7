"""The status: the state of every flow and system from the ledger alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from auditor.history.budgets import LAST_S, at_text, held_back
from auditor.ledger import NO_DOUBT, Doubt, FailedRuns, Ledger, Work
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from checks.clocks import ClockBounds, clock_text
from checks.sampling import BY_RANK
from checks.tables import complete
from probes.ranking import RANKS
from probes.wording import percent

STALE_INTERVALS = 2
"""No audit for this many intervals is a state of its own: silence is never good news."""

STALE_FLOOR_S = 10.0

NEVER_READ, QUEUES_ONLY, UNUSED = "never read", "queues only", "used by no flow"
"""States of systems of which the ledger knows nothing."""

WELL = frozenset({"answers", NEVER_READ, QUEUES_ONLY, UNUSED})
"""States of systems that no failure is known of."""

SLOW_FAILURE_S = 120.0
"""The longest gap between slow, failing audits; after a longer silence the flow is no longer being audited."""


class Standing(StrEnum):
    """The state of a flow in one word; only the first is good news.

    A change within its window is not due yet, so the flow is still consistent.
    """

    CONSISTENT = "consistent"
    DRIFT = "drift"
    PENDING = "pending"
    UNVERIFIED = "unverified"
    NO_DATA = "no data"


MEANINGS = complete(
    {
        Standing.CONSISTENT: "every record was read, and everything that was due agrees",
        Standing.DRIFT: "a record certainly differs",
        Standing.PENDING: "something differs, but a change may still be on its way, or a second reading is due; "
        "a later audit decides",
        Standing.UNVERIFIED: "a record cannot be read or understood, or not all of them were read yet",
        Standing.NO_DATA: "there was no audit for two intervals",
    }
)
"""When a flow is in each state, in one line: docs/concepts.md says it in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStatus:
    """The state of a flow.

    Attributes:
        age_s: negative if the last audit was recorded under a clock that was ahead.
        stale: no audit for two intervals, or none ever; not if a budget explains it.
        failing: which of a stale flow's systems could not be read, why and since when; "" if unknown.
        pending: records that differ for now, or have a change within its window.
        overdue: those of them that a change on its way does not explain, or whose window has ended.
        doubt: what cannot be verified.
        held_back: what a spent budget keeps from being read, and until when; "" for nothing.
        late: what a budget has kept from being read for longer than the flow can bear; "" for nothing.
        unlisted: further records that the last sweeps could not verify and that are on no list.
        begun: every record was read once; or, without a sweep, at least one change has a verdict.
        sweep_ratio: progress of the sweep under way, None if none is or the first sweep goes by key.
    """

    flow: str
    audited_at: datetime | None
    age_s: float | None
    stale: bool
    failing: str
    open_by_cause: Mapping[str, int]
    pending: int
    overdue: int
    doubt: Doubt
    held_back: str
    late: str
    unlisted: int
    begun: bool
    sweeps: int
    sweep_ratio: float | None
    verified_through_at: datetime | None

    @property
    def state(self) -> Standing:
        """The state, in one word."""
        if self.stale:
            return Standing.NO_DATA
        if self.open_by_cause:
            return Standing.DRIFT
        return self.unknown or Standing.CONSISTENT

    @property
    def unknown(self) -> Standing | None:
        """What keeps the flow from being fully verified, whether it drifts or not; None if nothing does."""
        if self.stale:
            return Standing.NO_DATA
        # A queue may miss one reading; an unreadable record is unverified from the first one.
        unread = self.unlisted or self.late or not self.begun
        if self.doubt.records > self.doubt.queues or self.doubt.lasting or unread:
            return Standing.UNVERIFIED
        return Standing.PENDING if self.doubt.records or self.overdue else None

    @property
    def outdated(self) -> bool:
        """Whether what is known of the flow is older than it can bear, because it is not audited or is held back."""
        return self.stale or bool(self.late)

    @property
    def unverified(self) -> int:
        """Records and queues that cannot be verified now."""
        return self.doubt.records + self.unlisted

    @property
    def why(self) -> str:
        """What keeps the flow from being fully verified, or from being read now, in words."""
        if self.stale:
            never = "never audited"
            if self.audited_at is not None:
                never = f"not audited for two intervals, since {self.audited_at:%Y-%m-%d %H:%M:%S} UTC"
            if self.age_s is not None and self.age_s < 0:
                never = "its last audit has a time that has not come yet: a clock was set"
            return "; ".join(filter(None, (self.failing or never, self.held_back)))
        reasons = []
        if self.unverified:
            reasons.append(f"{self.unverified} cannot be verified: {self.doubt.reason or 'see the last sweep'}")
        if not self.begun:
            done = "" if self.sweep_ratio is None else f" ({percent(self.sweep_ratio)} so far)"
            reasons.append(f"the first sweep is not complete{done}")
        if self.overdue:
            reasons.append(f"{self.overdue} pending")
        return "; ".join(filter(None, (*reasons, self.late, self.held_back)))

    def as_row(self) -> dict[str, Any]:
        """The status as one row of a table."""
        drift = ", ".join(f"{count} {cause}" for cause, count in sorted(self.open_by_cause.items()))
        return {
            "flow": self.flow,
            "state": self.state,
            "open": drift,
            "pending": self.pending,
            "unverified": self.unverified,
            "why": self.why,
            "audited_at": self.audited_at,
            "verified_through": self.verified_through_at,
            "sweeps": self.sweeps,
        }


def flow_status(integration_map: IntegrationMap, ledger: Ledger, now: datetime) -> list[FlowStatus]:
    """The status of every flow of the map."""
    states = {row["flow"]: row for row in ledger.exports.table("flow_state")}
    counts = ledger.findings.open_by_cause()
    flows = {name: integration_map.flow(name) for name in integration_map.flows}
    doubts = ledger.unverified.doubts({name: flow.window_s for name, flow in flows.items()}, now)
    systems = {row["name"]: row for row in ledger.exports.table("systems")}
    first_sweep = {name for name, flow in flows.items() if not _begun(flow, states.get(name, {}))}
    longest_s = max((flow.every_s for flow in flows.values()), default=0.0)
    work = ledger.flows.work_since(now - timedelta(seconds=max(LAST_S, STALE_INTERVALS * longest_s)))
    slowed = {name for name, flow in flows.items() if _held(flow, work.get(name), now)}
    late = {name: _late(flows[name], states.get(name, {}), now) for name in slowed}
    held = held_back(integration_map, ledger, now, work=work, first_sweep=first_sweep, late=late)
    pending, overdue = ledger.findings.pending_counts(), ledger.findings.overdue_counts(now)
    failed = ledger.flows.failed_runs()
    statuses = []
    for name in integration_map.flows:
        state = states.get(name, {})
        audited_at = state.get("audited_at")
        age_s = (now - audited_at).total_seconds() if audited_at else None
        flow = flows[name]
        limit_s = stale_after_s(flow)
        # An audit of a time that has not come was recorded under another clock, and may be as old as that was wrong.
        ahead_s = max(limit_s, SLOW_FAILURE_S)
        stale = (age_s is None or not -ahead_s <= age_s <= limit_s) and name not in slowed
        sweeps, through_at = state.get("sweeps", 0), state.get("verified_through_at")
        statuses.append(
            FlowStatus(
                flow=name,
                audited_at=audited_at,
                age_s=age_s,
                stale=stale,
                failing=_failing(flow, failed.get(name), systems, limit_s, now) if stale else "",
                open_by_cause=counts.get(name, {}),
                pending=pending.get(name, 0),
                overdue=overdue.get(name, 0),
                doubt=doubts.get(name, NO_DOUBT),
                held_back=held[name],
                late=late.get(name, ""),
                unlisted=max(state.get("sweep_unlisted") or 0, state.get("swept_unlisted") or 0),
                begun=name not in first_sweep,
                sweeps=sweeps,
                sweep_ratio=_sweep_ratio(state),
                verified_through_at=through_at,
            )
        )
    return statuses


def _failing(
    flow: Flow,
    runs: FailedRuns | None,
    systems: Mapping[str, Mapping[str, Any]],
    limit_s: float,
    now: datetime,
) -> str:
    """Which system kept a flow from being audited, why and since when; "" if no audit was attempted."""
    if runs is not None:
        failure = f"{runs.system}: {runs.reason} since {at_text(runs.since_at, now)}"
        if (now - runs.last_at).total_seconds() > max(limit_s, SLOW_FAILURE_S):
            return f"not audited since {at_text(runs.last_at, now)}; it failed then: {failure}"
        return failure
    # If its audit has not ended yet, another flow's audit may have met the same failure.
    for name in (flow.source_name, flow.target_name):
        row = systems.get(name)
        if row is not None and row["failures"] and row["failing_since_at"] is not None:
            return f"{name}: {row['reason']} since {at_text(row['failing_since_at'], now)}"
    return ""


def stale_after_s(flow: Flow) -> float:
    """After this long without an audit the flow is stale."""
    return max(STALE_INTERVALS * flow.every_s, STALE_FLOOR_S)


def _held(flow: Flow, work: Work | None, now: datetime) -> bool:
    """Whether a flow is being audited while a budget leaves out some of its reads, or all of them."""
    if work is None or not work.shed or work.ended_at is None:
        return False
    return (now - work.ended_at).total_seconds() <= stale_after_s(flow)


def _late(flow: Flow, state: Mapping[str, Any], now: datetime) -> str:
    """Since when a budget has kept a flow from being read, if for longer than the flow can bear; else "".

    Between two lists of changes lies an interval, and what the first one could not contain yet has its window.
    """
    listed_at, audited_at = state.get("polled_at"), state.get("audited_at")
    since_at, what = audited_at, "nothing has been read since"
    if flow.source_spec.finds_changes and listed_at is not None:
        since_at, what = listed_at, f"changes of {flow.source_name} were last listed at"
    if since_at is None:
        return "nothing has been read yet, for lack of budget"
    late = (now - since_at).total_seconds() > flow.window_s + stale_after_s(flow)
    return f"{what} {at_text(since_at, now)}, for lack of budget" if late else ""


def _begun(flow: Flow, state: Mapping[str, Any]) -> bool:
    if not flow.settings.sample:
        return state.get("verified_through_at") is not None
    # If no system can list the records, a sweep only goes through known ones.
    listed = flow.source_binding.lists or flow.target_binding.lists
    return bool(state.get("sweeps")) and (listed or bool(state.get("swept_read")))


def _sweep_ratio(state: Mapping[str, Any]) -> float | None:
    """Progress of the sweep under way; by key it is only known after the first sweep."""
    read, before = state.get("sweep_read"), state.get("swept_read")
    if state.get("sweep_begun_at") is None or not read:
        return None
    if state.get("walk") == BY_RANK:
        return float(state.get("rank_after") or RANKS) / RANKS
    return read / max(before, read) if before else None


def system_status(integration_map: IntegrationMap, ledger: Ledger, now: datetime) -> list[dict[str, Any]]:
    """The availability of every system of the map."""
    rows = {row["name"]: row for row in ledger.exports.table("systems")}
    queued = integration_map.queue_systems
    in_flows = {name for flow in integration_map.flows.values() for name in (flow.from_, flow.to)}
    in_flows |= integration_map.crosswalk_systems
    statuses = []
    for name in integration_map.systems:
        row = rows.get(name)
        if row is None:
            statuses.append(
                {
                    "system": name,
                    "state": NEVER_READ if name in in_flows else QUEUES_ONLY if name in queued else UNUSED,
                    "latency_ms": None,
                    "clock": "unknown",
                    "clock_read_at": None,
                    "clock_set_at": None,
                    "message": "",
                }
            )
            continue
        failing_s = (now - row["failing_since_at"]).total_seconds() if row["failing_since_at"] else 0.0
        clock = "unknown"
        if row["clock_at"] is not None:
            bounds = ClockBounds(
                lower_s=row["clock_lower_s"], upper_s=row["clock_upper_s"], measured_at=row["clock_at"]
            )
            clock = clock_text(bounds.at(now))
        statuses.append(
            {
                "system": name,
                "state": f"{row['reason']} for {failing_s:.0f} s" if row["failures"] else "answers",
                "latency_ms": None if row["latency_s"] is None else round(row["latency_s"] * 1000, 1),
                "clock": clock,
                "clock_read_at": row["clock_at"],
                "clock_set_at": row["clock_stepped_at"],
                "message": row["message"] or "",
            }
        )
    return statuses
