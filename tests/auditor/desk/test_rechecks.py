"""Asking the daemon to read records: what is refused, and what it is told."""

from __future__ import annotations

import pytest

from auditor.desk.rechecks import ask, daemon_runs, wanted_of
from auditor.ledger import this_process
from auditor.map.integration_map import UnknownNameError
from checks.escalation import RefusedError
from tests.stand import Stand


def test_keys_are_read_as_people_write_them_for_every_flow_of_the_data_type(stand: Stand) -> None:
    assert wanted_of(stand.map, "customer", ["007", "7", "8"]) == [("to_billing", "7"), ("to_billing", "8")]
    assert wanted_of(stand.map, "customer", ["7"], ["to_billing", "to_billing"]) == [("to_billing", "7")]
    with pytest.raises(RefusedError, match="'x' is not a valid key of customer"):
        wanted_of(stand.map, "customer", ["x"])
    with pytest.raises(RefusedError, match="'' is not a valid key of customer: it is empty"):
        wanted_of(stand.map, "customer", [""])
    with pytest.raises(UnknownNameError, match="unknown data type 'orders'"):
        wanted_of(stand.map, "orders", ["7"])
    with pytest.raises(UnknownNameError, match="no flow 'another' of customer; its flows are to_billing"):
        wanted_of(stand.map, "customer", ["7"], ["another"])


def test_without_a_daemon_nothing_is_asked(stand: Stand) -> None:
    wanted = [("to_billing", "7")]
    assert not daemon_runs(stand.ledger, stand.place)
    with pytest.raises(RefusedError, match="no auditor is running"):
        ask(stand.ledger, stand.place, wanted, who="ada", known_by="test")
    stand.ledger.lease.take(stand.ledger.lease.now(), this_process("once", stand.place))
    with pytest.raises(RefusedError, match="no auditor is running"):
        ask(stand.ledger, stand.place, wanted, who="ada", known_by="test")
    assert stand.ledger.rechecks.listed() == []


def test_a_daemon_finds_what_was_asked_and_by_whom(stand: Stand) -> None:
    stand.ledger.lease.take(stand.ledger.lease.now(), this_process("run", stand.place))
    with pytest.raises(RefusedError, match="name of who does this"):
        ask(stand.ledger, stand.place, [("to_billing", "7")], who=" ", known_by="test")
    at = ask(stand.ledger, stand.place, [("to_billing", "7")], who="ada", known_by="test", now=stand.clock.now)
    (asked,) = stand.ledger.rechecks.listed()
    assert (asked.key, asked.who, asked.known_by, asked.asked_at) == ("7", "ada", "test", at)
