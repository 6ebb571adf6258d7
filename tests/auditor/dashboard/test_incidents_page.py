"""The incidents: the list and its filters, and each with its evidence, records, messages and history."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pandas as pd

from auditor import escaping
from auditor.alerts.reporter import Reporter
from auditor.dashboard import look
from auditor.dashboard.installations import forget
from auditor.desk.desk import Desk
from checks.handling import Event, Verb
from tests.auditor.alerts.test_reporter import signal
from tests.auditor.dashboard.page_runs import button, drift, local, read_queue, run, signs, table_with, text
from tests.auditor.ledger.rows import incident as incident_row
from tests.stand import Stand


def test_an_empty_list_is_good_news_only_when_all_is_known(watched: Stand) -> None:
    def signs() -> list[str]:
        return [each.icon for each in run("incidents").info if each.value.startswith("No incident")]

    assert signs() == [":material/info:"]
    watched.agree(5)
    assert signs() == [":material/check_circle:"]
    watched.run("billing", "UPDATE customers SET amount = 'a lot' WHERE id < 4")
    watched.sweep()
    assert signs() == [":material/info:"]


def test_the_incidents_are_listed_and_each_shows_its_evidence_records_and_messages(watched: Stand) -> None:
    drift(watched)
    app = run("incidents")
    assert not app.exception
    listed = table_with(app, "what")
    assert list(listed["what"]) == [
        "billing: records are changed there that it does not own (1 customer record affected)"
    ]
    assert signs(listed["severity"]) == ["▲ high"]
    assert signs(listed["state"]) == ["● open"]
    app = run("incidents", id="1")
    assert not app.exception
    assert "second writer" in text(app)
    assert "Find out who writes there" in text(app)
    assert list(table_with(app, "where")["what"]) == ["records were changed in a system that does not own them"]
    assert list(table_with(app, "where")["where"]) == ["to_billing"]
    assert list(table_with(app, "record")["record"]) == ["3"]
    assert list(table_with(app, "transition")["sender"]) == ["slack"]


def test_messages_of_an_incident_that_came_back_are_shown_without_a_counter(watched: Stand) -> None:
    reporter = Reporter.of_map(watched.ledger, watched.map, ["slack"], hold_s=0)
    begun_at = watched.clock.now() - timedelta(seconds=100)
    for after_s, count in ((0, 5), (10, 0), (70, 0), (80, 5)):
        with watched.ledger.write() as transaction:
            reporter.report(transaction, [signal("orphan", count)], begun_at + timedelta(seconds=after_s))
    kept = [str(row["transition"]) for row in watched.rows("alerts")]
    assert any(each.endswith(" 1") for each in kept), kept
    shown = list(table_with(run("incidents", id="1"), "transition")["transition"])
    assert sorted(shown) == sorted(each.removesuffix(" 1") for each in kept)
    assert set(table_with(run("sla"), "transition")["transition"]) == set(shown)


def test_the_counts_of_an_incident_say_when_they_were_true(watched: Stand) -> None:
    watched.agree(3)
    reporter = Reporter.of_map(watched.ledger, watched.map, [], hold_s=0)
    missed = signal("objective", 7, detail="7 of 9 changes missed their window")
    extra = signal("orphan", 12, detail="3 of 15 are new")
    begun_at = watched.clock.now()
    for at, signals in [
        (begun_at, [missed, extra]),
        (begun_at + timedelta(seconds=60), [signal("orphan", 5)]),
    ]:
        with watched.ledger.write() as transaction:
            reporter.report(transaction, signals, at)
    listed = table_with(run("incidents"), "what")
    assert {peak: now for peak, now in zip(listed["peak"], listed["now"], strict=True) if not pd.isna(now)} == {12: 5}
    assert set(listed["peak"]) == {7, 12}
    for number, evidence in ((1, "7 of 9 changes missed their window"), (2, "3 of 15 are new")):
        app = run("incidents", id=str(number))
        assert not app.exception
        told = escaping.markdown(f"as of {begun_at:%Y-%m-%d %H:%M:%S} UTC: to_billing: {evidence}")
        assert told in [each.value for each in app.caption]
    Desk(watched.map, watched.ledger, who="ada", known_by="test").resolve(2, "")
    (closed,) = table_with(run("incidents", id="2"), "where").to_dict("records")
    assert (pd.isna(closed["now"]), closed["peak"]) == (True, 12)


def test_an_incident_is_handled_on_its_page(watched: Stand) -> None:
    drift(watched)
    told = text(run("incidents", id="1"))
    assert "You can look, but not act." in told
    assert "**Likely cause**  \nsecond writer" in told
    app = local("incidents", id="1")
    app.text_input(key="who").set_value("")
    button(app, "Acknowledge").click().run()
    assert "enter your name" in text(app)
    app.text_input(key="who").set_value("ada")
    button(app, "Acknowledge").click().run()
    assert not app.exception
    assert look.INCIDENT["acknowledged"].badge in text(app)
    app.text_input(key="assign-to").set_value("team *blue*")
    button(app, "Assign").click().run()
    app.text_input(key="snooze-length").set_value("soon")
    button(app, "Snooze").click().run()
    assert "soon" in text(app)
    app.text_input(key="snooze-length").set_value("2h")
    button(app, "Snooze").click().run()
    timeline = table_with(app, "note")
    assert list(timeline["what"])[-3:] == ["acknowledge", "assign", "snooze"]
    assert {*timeline["who"][-3:]} == {"ada"}
    assert list(table_with(run("incidents"), "assigned to")["assigned to"]) == ["team *blue*"]
    assert signs(table_with(run("incidents"), "what")["state"]) == ["◌ snoozed"]


def test_resolved_incidents_are_shown_when_asked_for_and_what_came_before(watched: Stand) -> None:
    at = watched.clock.now()
    with watched.ledger.write() as transaction:
        for number in (1, 2):
            watched.ledger.incidents.save(
                transaction,
                0,
                incident_row(
                    opened_at=at - timedelta(minutes=9 - number),
                    resolved_at=at - timedelta(minutes=8 - number),
                    state="resolved",
                    summary=f"s{number}",
                ),
            )
    watched.agree(3)
    assert "No incident is open" in text(run("incidents"))
    assert list(table_with(run("incidents", all="true"), "what")["what"]) == ["s2", "s1"]
    assert list(table_with(run("incidents", all="true", search="S1"), "what")["what"]) == ["s1"]
    assert "The filters hide 2 other incidents." in text(run("incidents", all="true", search="zzz"))
    app = run("incidents", id="2")
    assert "lasted 60 s" in text(app)
    assert list(table_with(app, "incident")["incident"]) == ["1"]


def test_an_incident_that_is_not_there_is_said(watched: Stand) -> None:
    watched.agree(3)
    for number in ("99", "x", "-1", "9" * 40, "1; DROP"):
        app = run("incidents", id=number)
        assert not app.exception
        assert "There is no incident" in text(app)


def test_incidents_are_shown_of_the_flow_that_the_address_names(watched: Stand) -> None:
    drift(watched)
    assert len(table_with(run("incidents", flow="to_billing"), "what")) == 1
    assert "is not a flow of the map" in text(run("incidents", flow="to_biling"))
    with watched.ledger.database.unnumbered() as connection:
        connection.exec_driver_sql("UPDATE breaches SET flow = 'elsewhere'")
    forget()
    app = run("incidents", flow="to_billing")
    assert "No open incident matches: flow to_billing. None was resolved in the last hour either." in text(app)
    assert "The filters hide 1 other incident." in text(app)
    button(app, "Remove the filters").click().run()
    assert not app.exception
    assert len(table_with(app, "what")) == 1


def test_a_link_to_incidents_that_are_resolved_says_so_and_leads_to_them(watched: Stand) -> None:
    drift(watched)
    watched.run("billing", "UPDATE customers SET name = 'Ada' WHERE id = 3")
    watched.audit_until(lambda: watched.rows("incidents")[0]["resolved_at"])
    severity = str(watched.rows("incidents")[0]["severity"])
    app = run("incidents", severity=severity, flow="to_billing")
    assert f"No open incident matches: severity {severity}, flow to_billing." in text(app)
    assert "1 incident that matches was resolved in the last hour. No other incident is open." in text(app)
    button(app, "Include resolved").click().run()
    assert not app.exception
    assert len(table_with(app, "what")) == 1


def test_an_incident_of_a_flow_that_the_map_no_longer_names_has_its_page(watched: Stand) -> None:
    watched.agree(3)
    with watched.ledger.write() as transaction:
        values = incident_row(opened_at=watched.clock.now(), flow="gone", summary="of a flow that is gone")
        number = watched.ledger.incidents.save(transaction, 0, values)
    assert list(table_with(run("incidents"), "what")["what"]) == ["of a flow that is gone"]
    app = run("incidents", id=str(number))
    assert not app.exception
    assert not app.error
    assert next(each.value for each in app.header) == "of a flow that is gone"


def test_an_incident_that_came_back_says_how_often_and_when(watched: Stand) -> None:
    at = watched.clock.now()
    with watched.ledger.write() as transaction:
        values = incident_row(opened_at=at - timedelta(minutes=16), summary="s1")
        number = watched.ledger.incidents.save(transaction, 0, values)
        for verb, minutes in ((Verb.RESOLVED, 14), (Verb.REOPENED, 2)):
            event = Event(verb=verb, acted_at=at - timedelta(minutes=minutes), text="")
            watched.ledger.incident_events.record(transaction, number, event)
    told = text(run("incidents", id=str(number)))
    back = at - timedelta(minutes=2)
    assert f"for 16 min; came back once, {back:%d %b %H:%M:%S} UTC" in told
    with watched.ledger.write() as transaction:
        watched.ledger.incidents.save(transaction, number, {"reopened_at": back})
    assert "for 2 min; came back once" in text(run("incidents", id=str(number)))


def test_letters_beside_an_incident_are_those_that_were_there_while_it_was_open(watched: Stand) -> None:
    drift(watched)
    read_queue(watched)
    watched.run("billing", "DELETE FROM letters")
    watched.clock.advance(60)
    read_queue(watched)

    def letters() -> list[object]:
        forget()
        return list(table_with(run("incidents", id="1"), "letters")["letters"])

    assert letters() == [1]
    opened_at = watched.ledger.incidents.rows(live_only=True, limit=1)[0]["opened_at"]
    back_at = watched.clock.now() + timedelta(hours=1)
    with watched.ledger.write() as transaction:
        for verb, at in ((Verb.RESOLVED, opened_at + timedelta(milliseconds=1)), (Verb.REOPENED, back_at)):
            watched.ledger.incident_events.record(transaction, 1, Event(verb=verb, acted_at=at, text=""))
    forget()
    assert not [each for each in run("incidents", id="1").header if each.value.startswith("Dead letters")]


def test_the_chart_shades_only_when_the_incident_was_open(watched: Stand) -> None:
    drift(watched)
    opened_at = watched.ledger.incidents.rows(live_only=True, limit=1)[0]["opened_at"]
    turns = [opened_at + timedelta(minutes=minutes) for minutes in (1, 5)]
    with watched.ledger.write() as transaction:
        for verb, at in zip((Verb.RESOLVED, Verb.REOPENED), turns, strict=True):
            watched.ledger.incident_events.record(transaction, 1, Event(verb=verb, acted_at=at, text=""))
    app = run("incidents", id="1")
    assert not app.exception
    spans = json.loads(app.get("plotly_chart")[0].proto.spec)["layout"]["shapes"]
    assert [datetime.fromisoformat(each["x1"]) for each in spans][:1] == turns[:1]
    assert [datetime.fromisoformat(each["x0"]) for each in spans] == [opened_at, turns[1]]
