"""Recheck now, on the Drift page and the Record page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from streamlit.testing.v1 import AppTest

from auditor.dashboard import look
from auditor.dashboard.access import Onlooker
from auditor.ledger import this_process
from checks.judgement import Outcome
from checks.rechecks import NOT_FOUND, RecheckState, Result
from tests.auditor.dashboard.page_runs import button, drift, local, run, seat, signs, table_with, text
from tests.stand import Stand
from tests.waiting import wait_until

PICKED = "divergences-picked"


@pytest.fixture
def manned(watched: Stand) -> Stand:
    """One record that differs, and a daemon, as far as the ledger tells."""
    drift(watched)
    watched.ledger.lease.take(watched.ledger.lease.now(), this_process("run", watched.place))
    return watched


def picking(*picked: tuple[str, str]) -> AppTest:
    """The Drift page with these records selected."""
    return local("drift", {PICKED: list(picked)})


def test_selected_records_are_asked_for_and_what_was_found_is_shown(manned: Stand) -> None:
    app = local("drift")
    assert "Select rows" in text(app)
    assert not [each for each in app.button if each.label.startswith("Recheck")]
    app = picking(("to_billing", "3"))
    assert "1 record selected" in text(app)
    assert button(app, "Open customer 3")
    app.text_input(key="who").set_value("ada").run()
    button(app, "Recheck 1 record now").click().run()
    assert not app.exception
    (asked,) = manned.ledger.rechecks.listed()
    assert (asked.flow, asked.key, asked.who) == ("to_billing", "3", "ada")
    shown = table_with(app.run(), "asked by")
    assert (signs(shown["found"]), list(shown["record"]), list(shown["asked by"])) == (["… asked"], ["3"], ["ada"])
    assert "1 record asked for and not read yet" in text(app)
    now = datetime.now(UTC)
    with manned.ledger.write() as transaction:
        found: dict[str, tuple[Result, str]] = {"3": (Outcome.DIVERGENT, "foreign write")}
        manned.ledger.rechecks.answer(transaction, "to_billing", found, begun_at=now, at=now)
    shown = table_with(app.run(), "asked by")
    assert (signs(shown["found"]), list(shown["what"])) == (["≠ differs"], ["foreign write"])
    assert "All that was asked for was read" in text(app)
    assert "1 record selected" in text(app)  # the selection survives


def test_a_key_that_was_not_found_is_not_green(manned: Stand) -> None:
    now = datetime.now(UTC)
    manned.ledger.rechecks.ask([("to_billing", "none")], who="ada", known_by="test", at=now)
    with manned.ledger.write() as transaction:
        found: dict[str, tuple[Result, str]] = {"none": (NOT_FOUND, "neither system holds it")}
        manned.ledger.rechecks.answer(transaction, "to_billing", found, begun_at=now, at=now)
    assert signs(table_with(local("drift"), "asked by")["found"]) == ["∅ not found"]
    assert look.RECHECK[RecheckState.NOT_FOUND].tone is look.Tone.UNKNOWN


def test_a_selection_goes_by_the_records_and_not_by_their_places(manned: Stand) -> None:
    app = picking(("to_billing", "3"), ("to_billing", "none"))
    assert "1 record selected" in text(app)
    manned.put("billing", 5, "Eve")
    manned.sweep()
    manned.audit_until(lambda: len(manned.ledger.findings.open_records()) == 2)
    wait_until(lambda: len(table_with(app.run(), "difference")) == 2)
    assert app.session_state[PICKED] == [("to_billing", "3")]


def test_the_record_page_asks_for_its_record_in_every_flow(manned: Stand) -> None:
    app = local("record", type="customer", key="3")
    app.text_input(key="who").set_value("ada").run()
    button(app, "Recheck 1 record now").click().run()
    assert [(each.flow, each.key) for each in manned.ledger.rechecks.listed()] == [("to_billing", "3")]
    assert signs(table_with(app.run(), "asked by")["found"]) == ["… asked"]
    other = run("record", type="customer", key="4")
    assert not [each for each in other.dataframe if "asked by" in each.value.columns]


def test_without_a_name_nothing_is_asked(manned: Stand) -> None:
    app = local("record", type="customer", key="3")
    button(app, "Recheck 1 record now").click().run()
    assert "enter your name" in text(app)
    assert manned.ledger.rechecks.listed() == []


def test_who_may_only_look_asks_for_nothing_and_sees_the_results(manned: Stand) -> None:
    at = datetime.now(UTC) - timedelta(minutes=11)
    manned.ledger.rechecks.ask([("to_billing", "3")], who="ada", known_by="test", at=at)
    app = run("record", type="customer", key="3")
    assert not [each for each in app.button if each.label.startswith("Recheck")]
    assert "You can look, but not ask" in text(app)
    assert signs(table_with(app, "asked by")["found"]) == ["– not read"]


def test_who_may_no_longer_act_asks_for_nothing_with_a_button_that_is_still_there(manned: Stand) -> None:
    app = local("record", type="customer", key="3")
    app.text_input(key="who").set_value("ada").run()
    seat(app, Onlooker(why="bob is not one of the operators.", name="bob"))
    button(app, "Recheck 1 record now").click().run()
    assert "bob is not one of the operators" in text(app)
    assert manned.ledger.rechecks.listed() == []


def test_without_a_daemon_the_page_says_so(watched: Stand) -> None:
    drift(watched)
    app = local("record", type="customer", key="3")
    assert "No auditor is running with this ledger" in text(app)
    assert not [each for each in app.button if each.label.startswith("Recheck")]


def test_a_refusal_is_shown(manned: Stand) -> None:
    app = local("record", type="customer", key="3")
    app.text_input(key="who").set_value("ada").run()
    with patch("auditor.ledger.rechecks.check_room", side_effect=ValueError("500 records already wait")):
        button(app, "Recheck 1 record now").click().run()
    assert "500 records already wait" in text(app)
