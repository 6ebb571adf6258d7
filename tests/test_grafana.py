"""The dashboard for Grafana names metrics and labels that are exported, and the documentation names all of them."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from itertools import combinations
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from auditor.daemon.metrics import Metrics
from auditor.daemon.vitals import vitals_of
from auditor.map.loader import load_map
from tests import HOME
from tests.auditor.conftest import stand  # noqa: F401  a fixture
from tests.stand import Stand

DASHBOARD: dict[str, Any] = json.loads((HOME / "docs" / "grafana" / "plumbline.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]

TARGET = {"job", "instance"}
"""Labels that Prometheus adds to whatever it scrapes."""

METRIC = re.compile(r"\b((?:plumbline|process)_\w+)(?:\{([^}]*)\})?")


def expressions() -> list[str]:
    """Every query of the dashboard: those of the panels, and those that fill its variables."""
    variables = [each["definition"] for each in DASHBOARD["templating"]["list"] if "definition" in each]
    return [target["expr"] for panel in PANELS for target in panel.get("targets", ())] + variables


@pytest.fixture
def exported(stand: Stand) -> dict[str, set[str]]:  # noqa: F811
    """By name of a series, its labels, where everything that can be exported is."""
    alerts = (
        'alerts: {slack: {webhook: "https://h.example/x"}, drill: {to: slack}, heartbeat: {url: "https://a.b/y"}}\n'
    )
    budget = "zone: UTC, budget: {calls_per_day: 100000}}\n  billing"
    text = stand.map_file.read_text().replace("zone: UTC}\n  billing", budget)
    stand.map_file.write_text(text + alerts)
    loaded = load_map(stand.map_file, {})
    metrics = Metrics(loaded, vitals_of(loaded), lambda: stand.ledger)
    stand.agree(3)
    stand.put("crm", 3, name="Eve", ago_s=0)
    stand.put("billing", 3, name="Eve", ago_s=0)
    metrics.audited(stand.audit(), 0.1)
    stand.clock.advance(6)
    metrics.audited(stand.audit(), 0.1)
    stand.put("billing", 2, name="Eve")
    stand.sweep()
    stand.audit_until(lambda: [row["state"] for row in stand.rows("divergences")] == ["open"])
    with closing(sqlite3.connect(stand.place / "ledger.sqlite")) as database, database:
        database.execute(
            "INSERT INTO backlogs (rev, flow, queue, role, read_at, depth, oldest_age_s) "
            "VALUES (1, 'to_billing', 'dead', 'dead', 1, 7, 30.0)"
        )
    stand.ledger.drills.arrive(stand.clock.now())
    series: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposed("")[0].decode()):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def test_every_metric_and_label_of_the_dashboard_is_exported(exported: dict[str, set[str]]) -> None:
    for expression in expressions():
        names = METRIC.findall(expression)
        assert names, expression
        grouped = {each.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for each in by.split(",")}
        for name, matchers in names:
            assert name in exported, name
            labels = {each.strip().partition("=")[0].rstrip("!") for each in matchers.split(",") if each}
            assert (labels | grouped) <= exported[name] | TARGET, expression


def test_legends_name_labels_that_their_query_keeps() -> None:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            kept = re.search(r"by \(([^)]*)\)", target["expr"])
            labels = {each.strip() for each in kept[1].split(",")} if kept else TARGET
            assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= labels, target


def test_it_can_be_imported() -> None:
    assert (DASHBOARD["schemaVersion"], DASHBOARD["uid"]) == (39, "plumbline")
    assert "id" not in DASHBOARD
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    known = {each["name"] for each in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    assert {*re.findall(r"\$\{?(\w+)", json.dumps(PANELS))} <= known


def test_the_documentation_names_every_metric_with_its_labels(exported: dict[str, set[str]]) -> None:
    page = (HOME / "docs" / "operations.md").read_text()
    table = page.partition("| metrics | labels |\n")[2].partition("\n\n")[0]
    documented: dict[str, set[str]] = {}
    for names, labels in re.findall(r"^\| (`.*) \| (.*) \|$", table, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            documented[f"plumbline_{name}"] = {*re.findall(r"`(\w+)`", labels)}
    found: dict[str, set[str]] = {}
    for name, labels in exported.items():
        if name.startswith("plumbline_"):
            of_histogram = re.sub(r"_(bucket|sum|count|created)$", "", name)
            found.setdefault(of_histogram, set()).update(labels - {"le", "version", "python"})
    assert found == documented
