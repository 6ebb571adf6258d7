"""The top of a page: how everything stands, whether the auditor is alive, and how many incidents are open."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from auditor.dashboard import look
from auditor.ledger import Process
from tests.auditor.dashboard.page_runs import links, run
from tests.auditor.ledger.rows import incident as incident_row
from tests.stand import Stand


def badges(app: AppTest) -> str:
    return " ".join([*(each.value for each in app.markdown), *links(app)])


def test_the_header_says_how_everything_stands(watched: Stand) -> None:
    watched.agree(3)
    watched.sweep()
    watched.sweep()
    told = badges(run("drift"))
    assert "consistent]" in told
    assert look.AUDITOR["nobody"].badge in told
    assert "0 open incidents]" in told
    lease = watched.ledger.lease
    assert lease.take(lease.now(), Process(does="run", host="here", number=1, born="", folder="/x")) is not None
    assert "auditing, " in badges(run("map"))


def test_the_header_counts_open_incidents_on_every_page(watched: Stand) -> None:
    watched.agree(3)
    with watched.ledger.write() as transaction:
        watched.ledger.incidents.save(transaction, 0, incident_row(opened_at=watched.clock.now()))
    for page in ("overview", "query"):
        assert "1 open incident]" in badges(run(page))


def test_before_the_first_audit_nothing_is_called_well(watched: Stand) -> None:
    told = badges(run("overview"))
    assert "consistent]" not in told
    assert "Nothing has been audited yet" in run("overview").warning[0].value


def test_a_map_without_flows_that_drift_says_which_state_they_are_in(watched: Stand) -> None:
    watched.put("crm", 1)
    watched.audit()
    assert look.FLOW[look.WORST_FIRST[-1]].badge not in badges(run("overview"))
