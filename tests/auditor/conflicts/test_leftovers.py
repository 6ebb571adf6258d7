"""What a changed map leaves behind is closed, with the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.alerts.reporter import Reporter
from auditor.conflicts.leftovers import close_leftovers
from auditor.daemon.daemon import Daemon
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from checks.breach_life import BreachSignal
from checks.breaches import Breach
from checks.escalation import Act, State
from tests.stand import Stand

NOW = datetime.now(UTC)


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
    assert close_leftovers(stand.map, stand.ledger, NOW) == 1
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
        assert close_leftovers(wrong, stand.ledger, audited_at + timedelta(days=days)) == closed
        assert len(stand.ledger.conflicts.listed()) == 1 - closed


def test_a_daemon_ends_leftover_breaches_when_it_starts(stand: Stand) -> None:
    signals = [
        BreachSignal(
            breach=Breach.ORPHAN,
            fingerprint=f"flow/{flow}/orphan",
            count=1,
            threshold=1,
            clear_after_s=60,
            flow=flow,
        )
        for flow in ("to_billing", "to_shop")
    ]
    with stand.ledger.write() as transaction:
        Reporter.of_map(stand.ledger, stand.map, []).report(transaction, signals, NOW)
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    daemon.stop()
    ended = [row["flow"] for row in stand.rows("breaches") if "no longer in the map" in str(row["detail"])]
    assert ended == ["to_shop"]
