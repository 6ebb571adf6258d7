"""Silences on the page Incidents: the list, a new one with its preview, ending one, and maintenance windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streamlit.testing.v1 import AppTest

from auditor.dashboard.access import LOCAL, Onlooker
from auditor.desk.desk import Desk
from tests.auditor.dashboard.page_runs import button, drift, local, run, seat, seen, signs, table_with, text
from tests.stand import Stand

VIEWER = Onlooker(why="bob is not one of the operators.", name="bob")


def page(*picked: int, who: str = "ada") -> AppTest:
    """The silences, with these selected."""
    app = local("incidents", {"silences-picked": list(picked)}, list="Silences")
    app.text_input(key="who").set_value(who)
    return app


def silenced(stand: Stand, flow: str = "to_billing", *, hours: int = 1, later: int = 0) -> int:
    """A silence of bob's."""
    desk = Desk(stand.map, stand.ledger, who="bob", known_by="test")
    now = datetime.now(UTC)
    begin = now + timedelta(hours=later) if later else None
    return desk.silence({"flow": [flow]}, now + timedelta(hours=later + hours), "import [old]", from_at=begin)


def test_a_silence_is_previewed_added_and_listed(watched: Stand) -> None:
    drift(watched)
    app = page()
    assert "No silence holds or is to come" in text(app)
    assert "This covers **1 of 1 open incident**: everything." in text(app)
    assert "Incidents covered now: 1." in text(app)
    app.multiselect(key="silence-flow").set_value(["to_x*"]).run()
    assert "This covers **0 of 1 open incident**: flow to" in text(app)
    app.multiselect(key="silence-flow").set_value(["to_b*"]).run()
    assert "This covers **1 of 1 open incident**: flow to" in text(app)
    app.multiselect(key="silence-severity").set_value(["high"])
    app.text_input(key="silence-end").set_value("2h")
    button(app, "Add silence").click().run()
    assert "the reason is empty" in text(app)
    app.text_input(key="silence-reason").set_value("migration")
    button(app, "Add silence").click().run()
    assert not app.exception
    (silence,) = watched.ledger.silences.listed()
    assert silence.matchers == {"flow": ("to_b*",), "severity": ("high",)}
    assert (silence.who, silence.known_by, silence.reason) == ("ada", LOCAL, "migration")
    assert timedelta(hours=1, minutes=59) < silence.until_at - silence.from_at <= timedelta(hours=2)
    assert [each.value.partition(" until ")[0] for each in app.success] == ["Added silence 1"]
    listed = table_with(app, "hides")
    assert list(listed["hides"]) == ["flow to_b*, severity high"]
    assert (signs(listed["state"]), list(listed["who"]), list(listed["why"])) == (["◌ holds"], ["ada"], ["migration"])
    assert app.text_input(key="silence-reason").value == ""  # ready for the next one
    assert not app.run().success


def test_a_silence_of_everything_is_confirmed_first(watched: Stand) -> None:
    drift(watched)
    app = page()
    app.text_input(key="silence-reason").set_value("holidays")
    button(app, "Add silence").click().run()
    assert "this silences every incident, also those that are still to come; confirm that first" in text(app)
    assert watched.ledger.silences.listed() == []
    app.checkbox[0].check()
    button(app, "Add silence").click().run()
    assert [each.matchers for each in watched.ledger.silences.listed()] == [{}]
    assert not app.checkbox[0].value


def test_what_is_no_time_is_refused(watched: Stand) -> None:
    drift(watched)
    app = page()
    app.multiselect(key="silence-flow").set_value(["to_billing"])
    app.text_input(key="silence-reason").set_value("x")
    for end, begin, why in (
        ("soon", "", "not a duration: 'soon'"),
        ("2h", "tomorrow", "not a time: 'tomorrow'"),
        ("2h", "2020-01-01", "the beginning must be in the future"),
        ("9999d", "", "the end must be within 366 days"),
    ):
        app.text_input(key="silence-end").set_value(end)
        app.text_input(key="silence-from").set_value(begin)
        button(app, "Add silence").click().run()
        assert why in text(app)
    assert watched.ledger.silences.listed() == []


def test_a_length_counts_from_the_beginning_and_a_wrong_pattern_takes_nothing_away(watched: Stand) -> None:
    drift(watched)
    app = page()
    app.multiselect(key="silence-system").set_value([" "])
    app.text_input(key="silence-reason").set_value("x")
    begin = (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)
    app.text_input(key="silence-from").set_value(f"{begin:%Y-%m-%dT%H:%M}")
    app.text_input(key="silence-end").set_value("2h")
    button(app, "Add silence").click().run()
    assert "a pattern for system is empty" in text(app)
    app.multiselect(key="silence-system").set_value(["billing"])
    button(app, "Add silence").click().run()
    (silence,) = watched.ledger.silences.listed()
    assert (silence.from_at, silence.until_at) == (begin, begin + timedelta(hours=2))


def test_selected_silences_are_ended_and_kept(watched: Stand) -> None:
    drift(watched)
    first, second = silenced(watched), silenced(watched, hours=1, later=2)
    assert signs(table_with(page(), "hides")["state"]) == ["◷ to come", "◌ holds"]
    app = page(first, second)
    assert "2 silences selected" in text(app)
    Desk(watched.map, watched.ledger, who="bob", known_by="test").end_silence(first)
    app = page(second)
    button(app, "End 1 silence").click().run()
    assert not app.exception
    assert [each.value for each in app.success] == ["Ended 1 silence."]
    assert [each.ended_by for each in watched.ledger.silences.listed()] == ["ada", "bob"]
    assert "No silence holds or is to come" in text(app)
    app.toggle(key="ended").set_value(True).run()
    assert list(table_with(app, "hides")["ended by"]) == ["ada", "bob"]


def test_one_that_has_ended_is_refused_by_name(watched: Stand) -> None:
    drift(watched)
    number = silenced(watched)
    Desk(watched.map, watched.ledger, who="bob", known_by="test").end_silence(number)
    app = local("incidents", {"silences-picked": [number], "ended": True}, list="Silences")
    app.text_input(key="who").set_value("ada")
    button(app, "End 1 silence").click().run()
    assert f"- silence {number} ended at " in text(app)


def test_a_viewer_sees_silences_and_changes_none(watched: Stand) -> None:
    drift(watched)
    number = silenced(watched)
    app = seen("incidents", VIEWER, list="Silences")
    assert list(table_with(app, "hides")["why"]) == ["import [old]"]
    assert VIEWER.why.partition(".")[0] in text(app)
    assert {each.label for each in app.button} == {"Refresh"}
    app = page(number)
    app.multiselect(key="silence-flow").set_value(["to_billing"])
    app.text_input(key="silence-reason").set_value("x").run()
    seat(app, VIEWER)
    for label in ("Add silence", "End 1 silence"):
        button(app, label).click().run()
        assert VIEWER.why in text(app)
    (silence,) = watched.ledger.silences.listed()
    assert silence.ended_at is None


def test_maintenance_windows_show_when_they_come_next(watched: Stand) -> None:
    drift(watched)
    assert "The map has no maintenance windows" in text(run("incidents", list="Silences"))
    window = "{name: nightly load, system: billing, hours: '01:00-03:00', zone: Europe/Berlin}"
    watched.remap("flows:\n", f"alerts: {{maintenance: [{window}]}}\nflows:\n")
    shown = table_with(run("incidents", list="Silences"), "next from")
    assert list(shown["window"]) == ["nightly load"]
    assert list(shown["hides"]) == ["system billing"]
    assert list(shown["when"]) == ["every day, 01:00–03:00, Europe/Berlin"]
    (begin,), (end,) = shown["next from"], shown["until"]
    assert datetime.now(UTC) < end <= datetime.now(UTC) + timedelta(days=2)
    assert begin < end


def test_an_address_that_names_no_part_of_the_page_is_told(watched: Stand) -> None:
    drift(watched)
    assert "Silence is not a part of this page" in text(run("incidents", list="Silence"))
