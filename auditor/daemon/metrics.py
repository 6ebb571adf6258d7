"""Metrics for Prometheus: what this process has audited, counted here, and what the ledger holds, read per scrape.

Names, units and labels: https://prometheus.io/docs/practices/naming/. Labels are names of the map and words of
enumerations, never keys or values of records.
"""

from __future__ import annotations

import platform
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from auditor import __version__
from auditor.alerts import drill_rule
from auditor.audit.result import AuditResult
from auditor.daemon.vitals import Vitals
from auditor.history.budgets import budget_use
from auditor.history.status import Standing, flow_status
from auditor.ledger import Ledger, LedgerError
from auditor.map.integration_map import IntegrationMap
from checks.convergence import Verdict
from checks.judgement import Outcome

LAG_BUCKETS_S = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
AUDIT_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

OUTBOX_STATES = ("pending", "sending", "failed")

MOST_INCIDENTS = 10_000
"""Open incidents counted at most."""


class Metrics:
    """The metrics of one process.

    Args:
        open_ledger: the ledger to read at a scrape. Raises LedgerError.
    """

    def __init__(self, integration_map: IntegrationMap, vitals: Vitals, open_ledger: Callable[[], Ledger]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a further series per counter that no query needs
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._audits = Counter(
            "plumbline_audits",
            "Recorded audits: complete, or failed because a system could not be read.",
            ["flow", "outcome"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "plumbline_audit_duration_seconds",
            "Duration of recorded audits.",
            ["flow"],
            buckets=AUDIT_BUCKETS_S,
            registry=self._registry,
        )
        self._records = Counter(
            "plumbline_records_read",
            "Records read by audits, by outcome.",
            ["flow", "outcome"],
            registry=self._registry,
        )
        self._changes = Counter(
            "plumbline_changes_settled",
            "Changes of the owner that got their final verdict.",
            ["flow", "verdict"],
            registry=self._registry,
        )
        self._lags = Histogram(
            "plumbline_change_lag_seconds",
            "Upper bound of the lag of changes that have arrived.",
            ["flow"],
            buckets=LAG_BUCKETS_S,
            registry=self._registry,
        )
        self._standing = _Standing(integration_map, vitals, open_ledger)
        self.follow(integration_map)
        self._registry.register(self._standing)

    def follow(self, integration_map: IntegrationMap) -> None:
        """Show the figures of this map from now on; counters of flows that it no longer has keep their counts."""
        self._standing.map = integration_map
        for flow in integration_map.flows:  # a series that exists from the start has a rate from its first event on
            self._durations.labels(flow)
            self._lags.labels(flow)
            for ended in ("complete", "failed"):
                self._audits.labels(flow, ended)
            for outcome in Outcome:
                self._records.labels(flow, outcome.value)
            for verdict in Verdict:
                if verdict is not Verdict.PENDING:
                    self._changes.labels(flow, verdict.value)

    def audited(self, result: AuditResult, duration_s: float) -> None:
        """Count a recorded audit."""
        flow = result.flow
        self._audits.labels(flow, "failed" if result.error else "complete").inc()
        self._durations.labels(flow).observe(duration_s)
        for outcome, count in result.counts.items():
            if count:
                self._records.labels(flow, outcome.value).inc(count)
        for change in result.settled:
            self._changes.labels(flow, change.verdict.value).inc()
            if change.lag_upper_s is not None:
                self._lags.labels(flow).observe(change.lag_upper_s)

    def exposed(self, accept: str) -> tuple[bytes, str]:
        """The metrics as text, and its content type, in the format that the scraper accepts."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Standing(Collector):
    """What the ledger and the process say now. Nothing of the ledger is exposed while it cannot be read."""

    def __init__(self, integration_map: IntegrationMap, vitals: Vitals, open_ledger: Callable[[], Ledger]) -> None:
        self.map = integration_map
        self._vitals = vitals
        self._open_ledger = open_ledger

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the ledger."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read everything."""
        build = InfoMetricFamily("plumbline_build", "The running version.")
        build.add_metric([], {"version": __version__, "python": platform.python_version()})
        yield build
        health = self._vitals.health()
        yield _gauge("plumbline_live", "1 if the process runs jobs.", health.live)
        yield _gauge("plumbline_ready", "1 if the process holds the lease and can record audits.", health.ready)
        yield _gauge("plumbline_lease_held", "1 if this process holds the ledger's lease.", self._vitals.leads)
        try:
            families = [*self._of_ledger(self._open_ledger(), datetime.now(UTC))]
        except LedgerError:
            families = []
        yield _gauge("plumbline_ledger_up", "1 if the ledger can be read.", bool(families))
        yield from families

    def _of_ledger(self, ledger: Ledger, now: datetime) -> Iterator[Metric]:
        yield from self._flows(ledger, now)
        yield from self._queues(ledger, now)
        yield from self._systems(ledger, now)
        outbox = _labelled("plumbline_outbox_messages", "Messages that were not delivered (yet).", "sender", "state")
        counts = ledger.outbox.counts()
        for sender in self.map.alerts.senders:
            for state in OUTBOX_STATES:
                outbox.add_metric([sender, state], counts.get((sender, state), 0))
        yield outbox
        if self.map.alerts.heartbeat is not None:
            heartbeat = ledger.heartbeats.state()
            yield _gauge(
                "plumbline_heartbeat_up", "1 if the last heartbeat was accepted.", heartbeat.failing_since_at is None
            )
        if (drill := self.map.alerts.held_drill) is not None:
            drills = ledger.drills.state()
            wrong = drill_rule.problem(drill, drills, now, ledger.lease.now().since_at)
            yield _gauge("plumbline_drill_up", "1 if nothing is wrong with the daily drill.", not wrong)
            arrived = _labelled("plumbline_drill_last_arrival_timestamp_seconds", "When a drill last arrived.")
            if drills.arrived_at is not None:
                arrived.add_metric([], drills.arrived_at.timestamp())
            yield arrived
        refused = ledger.map_loads.standing().refused is not None
        yield _gauge("plumbline_map_refused", "1 if a newer map was refused, and the one in force stays.", refused)
        incidents = _labelled("plumbline_incidents_open", "Open incidents.", "breach")
        rows = ledger.incidents.rows(live_only=True, limit=MOST_INCIDENTS)
        for breach, count in Counts(row["breach"] for row in rows).items():
            incidents.add_metric([breach], count)
        yield incidents

    def _flows(self, ledger: Ledger, now: datetime) -> Iterator[Metric]:
        state = _labelled("plumbline_flow_state", "1 for the state that the flow is in.", "flow", "state")
        audited = _labelled(
            "plumbline_flow_last_audit_timestamp_seconds", "When the last complete audit began.", "flow"
        )
        through = _labelled(
            "plumbline_flow_verified_through_timestamp_seconds",
            "Every change of the owner until then has a verdict.",
            "flow",
        )
        differing = _labelled("plumbline_records_differing", "Records that differ, by cause.", "flow", "cause")
        pending = _labelled("plumbline_records_pending", "Records without a verdict yet.", "flow")
        unverified = _labelled("plumbline_records_unverified", "Records that cannot be verified.", "flow")
        for each in flow_status(self.map, ledger, now):
            for standing in Standing:
                state.add_metric([each.flow, standing.replace(" ", "_")], each.state is standing)
            if each.audited_at is not None:
                audited.add_metric([each.flow], each.audited_at.timestamp())
            if each.verified_through_at is not None:
                through.add_metric([each.flow], each.verified_through_at.timestamp())
            for cause, count in each.open_by_cause.items():
                differing.add_metric([each.flow, cause], count)
            pending.add_metric([each.flow], each.pending)
            unverified.add_metric([each.flow], each.unverified)
        yield from (state, audited, through, differing, pending, unverified)

    def _queues(self, ledger: Ledger, now: datetime) -> Iterator[Metric]:
        labels = ("flow", "queue", "role")
        up = _labelled("plumbline_queue_up", "1 if the last reading of the queue succeeded.", *labels)
        depth = _labelled("plumbline_queue_depth", "Waiting messages at the last reading.", *labels)
        oldest = _labelled("plumbline_queue_oldest_age_seconds", "Age of the oldest waiting message.", *labels)
        for (flow, queue), settings in self.map.queues.items():
            row = ledger.queues.last_reading(flow, queue)
            if row is None:
                continue
            named = [flow, queue, settings.role]
            up.add_metric(named, row["reason"] is None)
            if row["depth"] is not None:
                depth.add_metric(named, row["depth"])
            if row["oldest_at"] is not None:
                oldest.add_metric(named, max(0.0, (now - row["oldest_at"]).total_seconds()))
            elif row["oldest_age_s"] is not None:
                oldest.add_metric(named, row["oldest_age_s"])
        yield from (up, depth, oldest)

    def _systems(self, ledger: Ledger, now: datetime) -> Iterator[Metric]:
        up = _labelled("plumbline_system_up", "1 if the last call to the system succeeded.", "system")
        latency = _labelled("plumbline_system_latency_seconds", "Duration of a recent call to the system.", "system")
        for row in ledger.exports.table("systems"):
            if row["name"] in self.map.systems:
                up.add_metric([row["name"]], not row["failures"])
                if row["latency_s"] is not None:
                    latency.add_metric([row["name"]], row["latency_s"])
        reads = _labelled(
            "plumbline_budget_records_per_second",
            "Records per second, on average over the last hour.",
            "system",
        )
        allowed = _labelled("plumbline_budget_records_per_second_limit", "The same, allowed on average.", "system")
        calls = _labelled("plumbline_budget_calls", "Calls counted in the last 24 hours.", "system")
        most = _labelled("plumbline_budget_calls_limit", "The same, allowed.", "system")
        shed = _labelled("plumbline_budget_reads_left_out", "Reads left out in the last hour.", "system")
        for each in budget_use(self.map, ledger, now):
            reads.add_metric([each.system], each.records_used_per_s)
            allowed.add_metric([each.system], each.records_per_s)
            shed.add_metric([each.system], each.shed)
            if each.calls_per_day is not None:
                calls.add_metric([each.system], each.calls_used or 0)
                most.add_metric([each.system], each.calls_per_day)
        yield from (up, latency, reads, allowed, calls, most, shed)


def _gauge(name: str, documentation: str, value: bool) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def _labelled(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=labels)
