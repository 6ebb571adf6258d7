"""The overview: what differs, who acts on it, and what is not verified yet."""

from __future__ import annotations

from auditor.dashboard import look
from checks.cause import Cause
from tests.auditor.dashboard.page_runs import drift, links, run, signs, table_with, text
from tests.stand import Stand


def test_overview_counts_what_differs_and_links_to_it(watched: Stand) -> None:
    drift(watched)
    app = run("overview")
    values = {each.label: each.value for each in app.metric}
    assert values["Records that differ"] == "1"
    assert values["Flows consistent"] == "0 of 1"
    assert values["records"] == "1"
    assert any(each.endswith("foreign write]") for each in links(app))
    assert any("billing: records are changed there" in each.value for each in app.error)


def test_the_overview_says_who_acts_on_wrong_values(disputed: Stand) -> None:
    app = run("overview")
    assert not app.exception
    assert "Who is affected right now" in text(app)
    acting = table_with(app, "who")
    assert list(acting["who"]) == ["dunning", "sales"]
    assert list(acting["unresolved"]) == [1, 1]
    assert signs(acting["causes"]) == [look.cause(Cause.DUPLICATE).plain] * 2
    assert [metric.value for metric in app.metric if metric.label == "Conflicts to decide"] == ["1"]


def test_before_the_first_sweep_nothing_is_verified(watched: Stand) -> None:
    watched.put("crm", 1)
    watched.put("billing", 1)
    watched.audit()
    app = run("overview")
    flows = table_with(app, "beats")
    told = {*signs(flows["state"])} | set(flows["verified through"])
    assert not any("1970" in each for each in told)
    assert "Data as of" in text(app)
