"""What a changed map leaves behind is closed, with the reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.conflicts.leftovers import close_leftovers
from auditor.daemon.daemon import Daemon
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from checks.escalation import Act, State
from tests.stand import Stand

NOW = datetime.now(UTC)


def open_incident(stand: Stand, **values: Any) -> int:
    fixed = {"state": "open", "opened_at": NOW, "count": 1, "peak": 1, "reopened": 0, "summary": "it is broken"}
    with stand.ledger.write() as transaction:
        identity = stand.ledger.incidents.save(transaction, 0, {**fixed, **values})
        stand.ledger.outbox.queue(
            transaction,
            incident_id=identity,
            transition="opened",
            sender="slack",
            notice={"incident": identity, "transition": "opened", "summary": "it is broken", "team": "data"},
            at=NOW,
        )
    return identity


def fill(stand: Stand) -> None:
    """Incidents of a flow, a system and a queue that the map has, and of such that it has not."""
    for flow in ("to_billing", "to_shop"):
        open_incident(stand, flow=flow, breach="not_arriving", fingerprint=f"flow/{flow}/not_arriving")
    for system in ("billing", "shop"):
        open_incident(stand, system=system, breach="unreachable", fingerprint=f"system/{system}/unreachable")
    for queue in ("dead", "retry"):
        fingerprint = f"flow/to_billing/unread_queue/{queue}"
        open_incident(stand, flow="to_billing", breach="unread_queue", fingerprint=fingerprint)


def test_incidents_of_what_the_map_no_longer_has_are_closed_and_told(stand: Stand) -> None:
    fill(stand)
    assert close_leftovers(stand.map, stand.ledger, ["slack"], NOW) == 3
    rows = sorted(stand.rows("incidents"), key=lambda row: int(str(row["id"])))
    assert [row["state"] for row in rows] == ["open", "resolved"] * 3
    assert [row["summary"] for row in rows if row["state"] == "resolved"] == [
        "it is broken; closed: flow to_shop is no longer in the map",
        "it is broken; closed: system shop is no longer in the map",
        "it is broken; closed: queue retry is no longer in the map",
    ]
    told = [row for row in stand.rows("alerts") if row["transition"] == "resolved"]
    notices = [json.loads(str(row["notice"])) for row in told]
    assert [each["detail"].split()[0] for each in notices] == ["flow", "system", "queue"]
    assert {(each["transition"], each["team"]) for each in notices} == {("resolved", "data")}
    assert close_leftovers(stand.map, stand.ledger, ["slack"], NOW) == 0


def test_conflicts_of_a_flow_that_is_gone_are_settled_with_the_reason(stand: Stand) -> None:
    with stand.ledger.write() as transaction:
        for flow in ("to_billing", "to_shop"):
            values: dict[str, Any] = {
                "flow": flow,
                "data_type": "customer",
                "key": "3",
                "divergence_id": 1,
                "cause": "write_conflict",
            }
            values |= {"why": "both moved", "opened_at": NOW, "state": "open", "assignee": None}
            stand.ledger.conflicts.open(transaction, values, "both moved")
    assert close_leftovers(stand.map, stand.ledger, [], NOW) == 1
    (left,) = stand.ledger.conflicts.listed()
    assert left.flow == "to_billing"
    found = stand.ledger.conflicts.find(2)
    assert found is not None
    gone, acts, _ = found
    assert (gone.state, gone.closed_at is not None) == (State.SETTLED, True)
    assert (acts[-1].act, acts[-1].text) == (Act.SETTLED, "flow to_shop is no longer in the map")


def test_a_start_with_the_wrong_map_leaves_conflicts_alone_until_the_flow_was_absent_for_days(stand: Stand) -> None:
    stand.agree(3)
    with stand.ledger.write() as transaction:
        values: dict[str, Any] = {"flow": "to_billing", "data_type": "customer", "key": "3", "divergence_id": 1}
        values |= {
            "cause": "write_conflict",
            "why": "both moved",
            "opened_at": NOW,
            "state": "open",
            "assignee": "ada",
        }
        stand.ledger.conflicts.open(transaction, values, "both moved")
    stand.map_file.write_text(stand.map_file.read_text().replace("to_billing:", "to_other:"))
    wrong = load_map(stand.map_file, {})
    audited_at = stand.ledger.flows.state("to_billing").audited_at
    assert audited_at is not None
    for days, closed in ((0, 0), (6, 0), (8, 1)):
        assert close_leftovers(wrong, stand.ledger, [], audited_at + timedelta(days=days)) == closed
        assert len(stand.ledger.conflicts.listed()) == 1 - closed


def test_a_daemon_closes_them_when_it_starts(stand: Stand) -> None:
    fill(stand)
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    daemon.stop()
    assert sum("no longer in the map" in str(row["summary"]) for row in stand.rows("incidents")) == 3
