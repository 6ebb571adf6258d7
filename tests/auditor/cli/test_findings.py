"""`auditor drift`: what differs by flow and cause, and what is not decided yet."""

from __future__ import annotations

import json

from tests.auditor.cli.process import auditor
from tests.stand import Stand


def test_drift_says_what_decides_what_is_pending(stand: Stand, places: list[object]) -> None:
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    assert auditor("once", *places, "--wait", "0s").returncode == 3
    done = auditor("drift", *places)
    assert done.returncode == 3
    assert "1 pending record is undecided as of " in done.stderr
    assert "not late: the next `auditor once`, or `auditor run`, decides" in done.stderr


def test_drift_lists_what_differs_by_flow_and_cause(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key)
    assert auditor("once", *places).returncode == 0
    clean = auditor("drift", *places)
    assert (clean.returncode, "no records are known to differ" in clean.stderr) == (0, True)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    stand.run("billing", "DELETE FROM customers WHERE id = 3")
    assert auditor("once", *places).returncode == 1
    done = auditor("drift", "to_billing", *places)
    assert done.returncode == 1
    assert "divergent: foreign_write" in done.stdout
    assert "divergent: lost" in done.stdout
    (only,) = json.loads(auditor("drift", *places, "--cause", "lost", "--json").stdout)
    assert [(each["key"], each["kind"]) for each in only["divergent_records"]] == [("3", "missing")]
    assert only["counts"]["divergent"] == 1
    wrong = auditor("drift", *places, "--cause", "lots")
    assert (wrong.returncode, "did you mean 'lost'" in wrong.stderr) == (2, True)
    (both,) = json.loads(auditor("drift", *places, "--cause", "lost, foreign_write", "--json").stdout)
    assert both["counts"]["divergent"] == 2
    other = auditor("drift", *places, "--cause", "orphan")
    assert (other.returncode, "for this cause; 2 records differ for other causes" in other.stderr) == (0, True)
    state = auditor("drift", *places, "--cause", "undecided")
    assert (state.returncode, "undecided is a state of a record, not a cause" in state.stderr) == (2, True)
