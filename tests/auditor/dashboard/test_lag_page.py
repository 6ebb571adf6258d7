"""The lag: its curve, its worst hours, the clocks, and a flow without traffic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from checks.convergence import Verdict
from tests.auditor.dashboard.page_runs import run, table_with, text
from tests.stand import Stand


def test_lag_shows_curve_heat_and_clocks(watched: Stand) -> None:
    watched.agree(5)
    watched.put("crm", 3, "Grace", ago_s=0)
    watched.audit()
    watched.put("billing", 3, "Grace")
    watched.audit()
    app = run("lag")
    assert not app.exception
    assert list(app.dataframe[0].value["changes"]) == ["1"]
    assert {each.value for each in app.header} >= {"By hour", "By hour of the day and weekday", "Clocks"}
    assert list(app.dataframe[1].value["system"]) == ["crm", "billing"]
    with watched.ledger.write() as transaction:
        hour_at = (datetime.now(UTC) - timedelta(hours=12)).replace(minute=0, second=0, microsecond=0)
        watched.ledger.measurements.count_windows(transaction, "to_billing", {Verdict.BREACH: 2}, hour_at)
    worst = table_with(run("lag"), "worst hours")
    assert list(worst["worst hours"]) == [f"{hour_at:%a %H:00} to {hour_at + timedelta(hours=1):%H:00}"]
    assert worst["missed"].iloc[0].startswith("100% (")
    assert list(worst["changes"]) == ["2 of 2"]


def test_idle_is_no_lag_and_the_clocks_are_still_there(watched: Stand) -> None:
    watched.agree(5)
    app = run("lag")
    assert "no traffic" in text(app)
    assert len(app.dataframe) == 1
