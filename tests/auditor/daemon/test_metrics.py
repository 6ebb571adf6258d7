"""Metrics: their names and labels by Prometheus' conventions, what they count, and what they never show."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from auditor.daemon.metrics import Metrics
from auditor.daemon.vitals import vitals_of
from auditor.ledger import Ledger, LedgerError
from tests.stand import Stand

LABELS = {"flow", "outcome", "verdict", "le", "state", "cause", "queue", "role", "system", "sender", "breach"}


@pytest.fixture
def metrics(stand: Stand) -> Metrics:
    return Metrics(stand.map, vitals_of(stand.map), lambda: stand.ledger)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.exposed("")[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


def test_audits_records_changes_and_lags_are_counted(metrics: Metrics, stand: Stand) -> None:
    stand.agree(5)
    stand.put("crm", 3, name="Eve", ago_s=0)
    stand.put("billing", 3, name="Eve", ago_s=0)
    metrics.audited(stand.audit(), 0.02)
    stand.clock.advance(6)
    metrics.audited(stand.audit(), 0.02)
    assert value(metrics, "plumbline_audits_total", flow="to_billing", outcome="complete") == 2
    assert value(metrics, "plumbline_audits_total", flow="to_billing", outcome="failed") == 0
    assert value(metrics, "plumbline_audit_duration_seconds_count", flow="to_billing") == 2
    assert value(metrics, "plumbline_records_read_total", flow="to_billing", outcome="agreed") >= 2
    assert value(metrics, "plumbline_changes_settled_total", flow="to_billing", verdict="met") == 1
    assert value(metrics, "plumbline_change_lag_seconds_count", flow="to_billing") == 1
    assert value(metrics, "plumbline_system_up", system="crm") == 1


def test_the_ledger_is_read_at_every_scrape(metrics: Metrics, stand: Stand) -> None:
    stand.agree(5)
    assert value(metrics, "plumbline_flow_state", flow="to_billing", state="consistent") == 1
    stand.put("billing", 2, name="Eve")
    stand.sweep()
    stand.audit_until(lambda: [row["state"] for row in stand.rows("divergences")] == ["open"])
    assert value(metrics, "plumbline_flow_state", flow="to_billing", state="drift") == 1
    assert value(metrics, "plumbline_flow_state", flow="to_billing", state="consistent") == 0
    assert value(metrics, "plumbline_records_differing", flow="to_billing", cause="foreign_write") == 1
    assert value(metrics, "plumbline_incidents_open", breach="foreign_write") == 1


def test_nothing_of_the_ledger_is_shown_while_it_cannot_be_read(stand: Stand) -> None:
    def fails() -> Ledger:
        raise LedgerError("the disk is gone")

    found = {name for name, _ in samples(Metrics(stand.map, vitals_of(stand.map), fails))}
    assert "plumbline_flow_state" not in found
    assert "plumbline_audits_total" in found
    assert value(Metrics(stand.map, vitals_of(stand.map), fails), "plumbline_ledger_up") == 0


def test_names_and_labels_follow_the_conventions_and_hold_no_values(metrics: Metrics, stand: Stand) -> None:
    stand.agree(5)
    stand.put("billing", 2, name="Eve-the-value")
    stand.sweep()
    stand.audit_until(lambda: [row["state"] for row in stand.rows("divergences")] == ["open"])
    text = metrics.exposed("")[0].decode()
    assert "Eve-the-value" not in text
    assert str(stand.place) not in text
    for family in text_string_to_metric_families(text):
        assert re.fullmatch(r"(plumbline|process)_[a-z_]+", family.name), family.name
        assert family.documentation, family.name
        for sample in family.samples:
            assert sample.labels.keys() <= LABELS | {"version", "python"}, sample
            assert not sample.name.endswith(("_ms", "_minutes", "_percent"))


def test_the_format_is_the_one_that_the_scraper_accepts(metrics: Metrics) -> None:
    assert metrics.exposed("")[1].startswith("text/plain; version=0.0.4")
    body, content_type = metrics.exposed("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


def test_queues_and_messages(metrics: Metrics, stand: Stand) -> None:
    with closing(sqlite3.connect(stand.place / "ledger.sqlite")) as database, database:
        database.execute(
            "INSERT INTO backlogs (rev, flow, queue, role, read_at, depth, oldest_age_s) "
            "VALUES (1, 'to_billing', 'dead', 'dead', 1, 7, 30.0)"
        )
    named = {"flow": "to_billing", "queue": "dead", "role": "dead"}
    assert value(metrics, "plumbline_queue_depth", **named) == 7
    assert value(metrics, "plumbline_queue_oldest_age_seconds", **named) == 30
    assert value(metrics, "plumbline_queue_up", **named) == 1
