"""Acts on several incidents of the list at once, each recorded as if it were done on its incident alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from auditor.dashboard.access import LOCAL, Onlooker
from auditor.dashboard.incident_acts import CHOSEN, VERBS
from auditor.dashboard.tables import MENU
from auditor.desk.desk import Case, Desk
from checks.handling import ACKNOWLEDGED_MEANS_SEVERAL
from tests.auditor.dashboard.page_runs import button, drift, local, seat, seen, signs, table_with, text
from tests.auditor.ledger.rows import incident as incident_row
from tests.stand import Stand

PICKED = "incidents-picked"


@pytest.fixture
def three(watched: Stand) -> Stand:
    """Three open incidents."""
    drift(watched)
    with watched.ledger.write() as transaction:
        for number in (2, 3):
            values = incident_row(opened_at=watched.clock.now(), summary=f"s{number}")
            assert watched.ledger.incidents.save(transaction, 0, values) == number
    return watched


def picking(*numbers: int, who: str = "ada") -> AppTest:
    """The list with these incidents selected."""
    app = local("incidents", {PICKED: list(numbers)})
    app.text_input(key="who").set_value(who)
    return app


def acts(stand: Stand, number: int) -> list[Any]:
    """What people did about an incident."""
    return [each for each in stand.ledger.incident_events.of(number) if each.who == "ada"]


def test_selected_incidents_are_acknowledged_together(three: Stand) -> None:
    assert "Select rows to acknowledge" in text(local("incidents"))
    assert button(picking(2), "Open incident 2")
    app = picking(2, 3)
    assert "2 incidents selected" in text(app)
    assert not [each for each in app.button if each.label.startswith("Open incident")]
    assert f"Someone works on them: {ACKNOWLEDGED_MEANS_SEVERAL}." in text(app)
    app.text_input(key="acknowledge-several-note").set_value("same release")
    button(app, "Acknowledge 2 incidents").click().run()
    assert not app.exception
    assert [each.value for each in app.success] == ["Acknowledged 2 incidents."]
    listed = table_with(app, "what")
    found = dict(zip(listed["incident"], signs(listed["state"]), strict=True))
    assert {found[each] for each in ("2", "3")} == {"◐ acknowledged"}
    assert found["1"] == "● open"
    for number in (2, 3):
        (event,) = acts(three, number)
        assert (event.verb, event.text, event.known_by) == ("acknowledge", "same release", LOCAL)
    assert acts(three, 1) == []
    assert "2 incidents selected" in text(app)  # for the next act
    assert not app.run().success


def test_refused_incidents_are_named_and_the_others_go_on(three: Stand) -> None:
    Desk(three.map, three.ledger, who="bob", known_by="test").acknowledge(Case("incident", 2))
    app = picking(1, 2, 3)
    button(app, "Acknowledge 3 incidents").click().run()
    assert [each.value for each in app.success] == ["Acknowledged 2 incidents."]
    (refused,) = [each.value for each in app.error if "refused" in each.value]
    assert refused.startswith("1 incident refused:\n\n- incident 2 was already acknowledged by bob at ")
    assert [len(acts(three, number)) for number in (1, 2, 3)] == [1, 0, 1]


def test_selected_incidents_are_snoozed_until_the_same_instant(three: Stand) -> None:
    app = picking(2, 3)
    app.text_input(key="snooze-several-length").set_value("soon")
    button(app, "Snooze 2 incidents").click().run()
    assert "not a duration: 'soon'" in text(app)
    app.text_input(key="snooze-several-length").set_value("2020-01-01")
    button(app, "Snooze 2 incidents").click().run()
    assert "- incident 2: the end must be in the future\n- incident 3: the end must be in the future" in text(app)
    app.text_input(key="snooze-several-length").set_value("2h")
    button(app, "Snooze 2 incidents").click().run()
    ends = {acts(three, number)[-1].until_at for number in (2, 3)}
    assert len(ends) == 1
    (end,) = ends
    assert isinstance(end, datetime)
    assert acts(three, 2)[-1].acted_at + timedelta(hours=1) < end
    assert [each.value for each in app.success] == ["Snoozed 2 incidents."]


def test_selected_incidents_are_assigned(three: Stand) -> None:
    app = picking(2, 3)
    button(app, "Assign 2 incidents").click().run()
    assert "the person or team to assign it to is missing" in text(app)
    app.text_input(key="assign-several-to").set_value("team *blue*")
    button(app, "Assign 2 incidents").click().run()
    assert sorted(table_with(app, "assigned to")["assigned to"]) == ["", "team *blue*", "team *blue*"]


def test_a_verb_from_the_menu_of_a_row_asks_for_the_rest_once(three: Stand) -> None:
    app = local("incidents", {CHOSEN: (2, "Snooze"), PICKED: [1, 3]})
    assert not app.exception
    app.text_input(key="who-chosen").set_value("ada")
    app.text_input(key="snooze-chosen-length").set_value("2020-01-01")
    button(app, "Snooze 1 incident").click().run()
    assert "the end must be in the future" in text(app)
    app.text_input(key="snooze-chosen-length").set_value("3h")
    button(app, "Snooze 1 incident").click().run()
    assert [each.value for each in app.success] == ["Snoozed 1 incident."]
    assert [event.verb for event in acts(three, 2)] == ["snooze"]
    assert acts(three, 3) == []
    assert not [each for each in app.text_input if each.key == "who-chosen"]


def test_open_incidents_offer_verbs_and_those_that_are_over_none(three: Stand) -> None:
    Desk(three.map, three.ledger, who="bob", known_by="test").resolve(3, "done")
    listed = table_with(local("incidents", all="true"), "what")
    offered = dict(zip(listed["incident"], map(list, listed[MENU]), strict=True))
    assert offered == {"1": [*VERBS], "2": [*VERBS], "3": []}
    assert MENU not in table_with(seen("incidents", Onlooker(why="No.", name="bob")), "what").columns


def test_nothing_is_done_without_a_name_or_by_a_viewer(three: Stand) -> None:
    app = picking(2, 3, who="")
    button(app, "Acknowledge 2 incidents").click().run()
    assert "enter your name" in text(app)
    viewer = Onlooker(why="bob is not one of the operators.", name="bob")
    app = picking(2, 3)
    seat(app, viewer)
    for verb in ("Acknowledge", "Snooze", "Assign"):
        button(app, f"{verb} 2 incidents").click().run()
        assert viewer.why in text(app)
    assert acts(three, 2) == acts(three, 3) == []
    assert not [each for each in seen("incidents", viewer).button if "incident" in each.label]


def test_an_incident_is_snoozed_until_an_instant(three: Stand) -> None:
    app = local("incidents", id="2")
    app.text_input(key="who").set_value("ada")
    end = (three.clock.now() + timedelta(days=200)).replace(microsecond=0)
    app.text_input(key="snooze-length").set_value(end.isoformat())
    button(app, "Snooze").click().run()
    assert not app.exception


def test_an_incident_that_is_over_can_be_commented_and_nothing_else(three: Stand) -> None:
    Desk(three.map, three.ledger, who="bob", known_by="test").resolve(3, "done")
    app = local("incidents", id="3")
    assert {each.label for each in app.button} & {
        "Acknowledge",
        "Snooze",
        "Assign",
        "Expect them",
        "Resolve",
    } == set()
    app.text_input(key="who").set_value("ada")
    app.text_area(key="comment-text").set_value("it was the release")
    button(app, "Add comment").click().run()
    assert not app.exception
    assert [each.text for each in acts(three, 3)] == ["it was the release"]
