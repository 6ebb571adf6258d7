"""Conflicts: opened from the list, decided on their page, and numbers that are none."""

from __future__ import annotations

from auditor.dashboard import look, navigation
from auditor.dashboard.access import LOCAL
from tests.auditor.dashboard.page_runs import button, local, run, signs, table_with, text
from tests.stand import Stand


def test_a_conflict_is_decided_on_its_page(disputed: Stand) -> None:
    app = run("conflicts")
    assert "1 conflict" in text(app)
    assert signs(table_with(app, "why")["cause"]) == ["⚑ duplicate"]
    app = run("conflicts", conflict="1")
    assert not app.exception
    assert "Conflict 1: customer 3" in text(app)
    assert "You can look, but not decide." in text(app)
    assert "who" not in [each.key for each in app.text_input]
    app = local("conflicts", conflict="1")
    app.text_input(key="who").set_value("")
    app.button[1].click().run()
    assert "enter your name" in text(app)
    assert "nobody has signed in" in text(app)
    app.text_input(key="who").set_value("ada")
    app.button[1].click().run()
    assert not app.exception
    (conflict,) = disputed.ledger.conflicts.listed()
    assert (conflict.state.value, conflict.choice) == ("decided", "crm")
    found = disputed.ledger.conflicts.find(conflict.conflict_id)
    assert found is not None
    assert (found[1][-1].who, found[1][-1].known_by) == ("ada", LOCAL)
    assert look.CONFLICT["decided"].badge in text(run("conflicts", conflict="1"))


def test_a_click_on_the_number_of_a_conflict_opens_it(disputed: Stand) -> None:
    app = run("conflicts")
    app.session_state["_next_page"] = navigation.conflict(1)  # what the click leaves
    app.run()
    assert not app.exception
    assert "Conflict 1: customer 3" in text(app)


def test_a_conflict_that_is_not_there_is_said(disputed: Stand) -> None:
    for number in ("99", "x"):
        app = run("conflicts", conflict=number)
        assert not app.exception
        assert f"There is no conflict {number}" in text(app)


def test_a_closed_conflict_can_only_be_commented_on(disputed: Stand) -> None:
    app = local("conflicts", conflict="1")
    assert {"Decide", "Defer", "Assign", "Add comment"} <= {each.label for each in app.button}
    disputed.run("billing", "DELETE FROM customers WHERE rowid = (SELECT max(rowid) FROM customers WHERE id = 3)")
    disputed.clock.advance(2)
    disputed.audit_until(lambda: not disputed.ledger.conflicts.listed())
    app = local("conflicts", conflict="1")
    assert not app.exception
    assert f"Conflict 1: customer 3 {look.CONFLICT['settled'].badge}" in text(app)
    assert not {"Decide", "Defer", "Assign"} & {each.label for each in app.button}
    app.text_input(key="who").set_value("ada")
    app.text_area(key="said").set_value("as expected")
    button(app, "Add comment").click().run()
    assert list(table_with(app, "action")["note"])[-1] == "as expected"
