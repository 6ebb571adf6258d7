"""The SLAs: objectives over their period and day by day, and what was verified."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from auditor.dashboard.pages import sla as sla_page
from checks.convergence import Verdict
from tests.auditor.dashboard.page_runs import drift, links, read_queue, run, signs, table_with, text
from tests.stand import Stand


def test_a_calendar_with_a_date_more_than_its_period_says_why(watched: Stand) -> None:
    drift(watched)
    told = text(run("sla"))
    assert told.count("The last 28 days up to now touch 29 UTC dates") == 2
    assert sla_page._dates_text("28 days", 28) == "Days are UTC."


def test_sla_shows_coverage_and_overview_the_agreement(watched: Stand) -> None:
    drift(watched)
    watched.sweep()
    covered = table_with(run("sla"), "last sweep")
    assert list(covered["last sweep"]) == ["1 of 5"]
    budgets = table_with(run("sla"), "calls in 24 h")
    assert list(budgets["system"]) == ["crm", "billing"]
    assert list(budgets["calls in 24 h"]) == ["no limit", "no limit"]
    assert all(each.startswith("at most ") for each in budgets["by sample"])
    assert list(table_with(run("overview"), "beats")["agree"]) == ["80%"]


def test_fields_that_differ_from_themselves_are_shown_with_their_share(watched: Stand) -> None:
    watched.agree(3)
    with watched.ledger.write() as transaction:
        counted = {("billing", "amount"): (10, 4), ("billing", "name"): (10, 0)}
        watched.ledger.measurements.count_noise(transaction, "to_billing", counted, watched.clock.now())
    app = run("sla")
    assert not app.exception
    (shown,) = [frame.value for frame in app.dataframe if "reread" in frame.value.columns]
    assert list(shown["field"]) == ["amount"]
    assert str(shown["share"].iloc[0]).startswith("40")


def test_objectives_are_over_the_period_whatever_range_is_shown(watched: Stand) -> None:
    watched.agree(5)
    watched.put("crm", 3, "Grace", ago_s=0)
    watched.audit()
    watched.put("billing", 3, "Grace")
    watched.audit()
    moved = int(timedelta(days=5).total_seconds() * 1e6)
    with watched.ledger.database.unnumbered() as connection:
        connection.exec_driver_sql(f"UPDATE window_counts SET slot_at = slot_at - {moved}")
    for shown in ("15 min", "7 d"):
        app = run("sla", range=shown)
        objectives = table_with(app, "target")
        assert signs(objectives["state"])[:1] == ["✓ kept"]
        assert objectives["met"].iloc[0].startswith("100% (")
        assert objectives["met"].iloc[0].endswith(") of 1")
    assert "Over the period of each flow's SLA" in text(app)


@pytest.fixture
def promised(watched: Stand) -> Stand:
    """An objective of each kind, the one about the window broken two days ago."""
    sla = "sla: {period: 5d, within: {1h: 0.5}, agreement: 0.9, coverage: 0.5, verified_within: 1d, strict: true}"
    watched.remap("sla: {dead_letters: 1}", sla)
    watched.agree(5)
    read_queue(watched)
    with watched.ledger.write() as transaction:
        for back, counts in (
            (4, {Verdict.MET: 500}),
            (2, {Verdict.MET: 9_000, Verdict.BREACH: 1_000}),
            (1, {Verdict.BREACH: 1}),
        ):
            at = watched.clock.now() - timedelta(days=back)
            watched.ledger.measurements.count_windows(transaction, "to_billing", counts, at)
    return watched


def test_the_sla_page_shows_the_days_of_the_gravest_objective(promised: Stand) -> None:
    app = run("sla")
    assert not app.exception
    objectives = table_with(app, "target")
    assert signs(objectives["state"])[:2] == ["✕ broken", "✕ broken"]
    assert objectives["met"].iloc[0].startswith("90.5% (")
    assert objectives["met"].iloc[0].endswith(") of 10,501")
    assert objectives["left"].iloc[0].startswith("overspent ")
    assert "2 of 7 objectives are broken:" in text(app)
    assert app.selectbox(key="objective").value == "to_billing: changes within the window of 4 s"
    days = table_with(app, "audited")
    assert signs(days["state"]) == [
        "– no traffic",  # today
        "? undecided",
        "✕ broken",
        "○ no data",
        "✓ kept",
        "○ no data",
    ]
    assert list(days["seen"])[2:4] == ["9,000 of 10,000 in time (90%)", "not audited"]
    assert days["audited"].iloc[0] != "0 of 24 h"
    told = text(app)
    for state in ("✓ kept: 1", "✕ broken: 1", "? undecided: 1", "– no traffic: 1", "○ no data: 2"):
        assert state in told
    calendar, burn, _ = app.get("plotly_chart")
    assert any("✕" in each for each in json.loads(calendar.proto.spec)["data"][1]["text"])
    assert "used up" in burn.proto.spec
    assert {"Records that differ →", "Incidents →", "Lag →"} <= set(links(app))


def test_every_objective_has_its_days(promised: Stand) -> None:
    names = run("sla").selectbox(key="objective").options
    assert len(names) == 7
    for name in names:
        app = run("sla", objective=name)
        assert not app.exception
        assert app.selectbox(key="objective").value == name
        assert len(table_with(app, "audited")) == 6
    assert "is not an objective of the map" in text(run("sla", objective="gone"))


def test_before_anything_is_on_file_the_days_say_what_to_do(watched: Stand) -> None:
    app = run("sla")
    assert "Nothing is on file for the last 28 days. Start the auditor with `auditor run`" in text(app)
    assert not app.get("plotly_chart")


def test_how_much_was_verified_is_shown_day_by_day(promised: Stand) -> None:
    app = run("sla", covered="to_billing")
    days = table_with(app, "failed")
    assert signs(days["state"]) == ["✓ verified", *["○ no data"] * 5]
    assert days["verified"].iloc[0] == "100%"
    assert "◐ in part: 0" in text(app)
    assert "is not a flow of the map" in text(run("sla", covered="to_biling"))


def test_a_map_that_promises_nothing_is_told_how(watched: Stand) -> None:
    watched.remap("    window: 4s\n", "    window: none\n")
    assert "promises nothing that could be kept or broken" in text(run("sla"))
