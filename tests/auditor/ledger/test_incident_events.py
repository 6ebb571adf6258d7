"""What people do about incidents, in a ledger of either kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from auditor.ledger import Ledger
from checks.breaches import Breach
from checks.handling import Event, Handling, Verb
from checks.record_history import DivergenceState
from checks.routes import Recipient
from checks.silences import Silence
from tests.auditor.ledger.rows import NOW, divergence, incident, save

HOUR = timedelta(hours=1)
SILENCE = Silence(
    matchers={"flow": ("f*",)}, from_at=NOW, until_at=NOW + HOUR, reason="r\0", who="ada", known_by="k", made_at=NOW
)


def opened(ledger: Ledger, **values: object) -> int:
    with ledger.write() as transaction:
        return ledger.incidents.save(transaction, 0, incident(**values))


def record(ledger: Ledger, number: int, verb: Verb, at: datetime = NOW, **values: Any) -> None:
    with ledger.write() as transaction:
        event = Event(verb=verb, acted_at=at, who="ada", known_by="k", **values)
        ledger.incident_events.record(transaction, number, event)


def test_events_are_kept_in_order_and_lead_to_the_state_of_the_row(ledger: Ledger) -> None:
    number = opened(ledger)
    record(ledger, number, Verb.OPENED)
    record(ledger, number, Verb.ASSIGN, assignee="bob\0")
    record(ledger, number, Verb.SNOOZE, until_at=NOW + HOUR, text="after lunch")
    events = ledger.incident_events.of(number)
    assert [(each.verb, each.assignee, each.until_at) for each in events] == [
        (Verb.OPENED, None, None),
        (Verb.ASSIGN, "bob\0", None),
        (Verb.SNOOZE, None, NOW + HOUR),
    ]
    with ledger.write() as transaction:
        handling = ledger.incident_events.handling(transaction, number)
        assert ledger.incident_events.handling(transaction, 99) is None
    assert handling == Handling(state="snoozed", snoozed_until_at=NOW + HOUR, assignee="bob\0")
    assert ledger.incident_events.snoozes_over(NOW) == []
    assert ledger.incident_events.snoozes_over(NOW + HOUR) == [number]


def test_an_incident_is_unattended_since_it_was_last_given_back(ledger: Ledger) -> None:
    number, other = opened(ledger), opened(ledger, fingerprint="y")
    record(ledger, number, Verb.OPENED)
    record(ledger, other, Verb.OPENED)
    record(ledger, number, Verb.ACKNOWLEDGE, NOW + HOUR)
    assert ledger.incident_events.unattended_since() == {other: NOW}
    record(ledger, number, Verb.UNACKNOWLEDGE, NOW + 2 * HOUR)
    assert ledger.incident_events.unattended_since() == {number: NOW + 2 * HOUR, other: NOW}


def test_an_incident_is_found_with_what_was_said_of_similar_ones(ledger: Ledger) -> None:
    first = opened(ledger, state="resolved", resolved_at=NOW)
    record(ledger, first, Verb.COMMENT, text="it was the proxy")
    second = opened(ledger)
    found = ledger.incidents.find(second)
    assert found is not None
    assert (found["summary"], found["notice"], ledger.incidents.find(99)) == ("s", {}, None)
    (similar,) = ledger.incidents.similar(second, 5)
    assert (similar["id"], similar["comment"], similar["reopened_at"]) == (first, "it was the proxy", None)


def test_a_silence_hides_messages_until_it_is_over(ledger: Ledger) -> None:
    number = opened(ledger)
    with ledger.write() as transaction:
        silence = ledger.silences.add(transaction, SILENCE)
        assert ledger.silences.active(transaction, NOW) == [replace(SILENCE, silence_id=silence)]
        assert ledger.silences.active(transaction, NOW + HOUR) == []
        for flow in ("f", "g"):
            notice = {"flow": flow, "transition": "opened"}
            ledger.outbox.queue(
                transaction, incident_id=number, transition=flow, sender="slack", notice=notice, at=NOW
            )
    states = {row["transition"]: (row["state"], row["silence_id"]) for row in ledger.outbox.of(number)}
    assert states == {"f": ("silenced", silence), "g": ("pending", None)}
    assert ledger.outbox.silenced() == {}  # a later one is on its way
    with ledger.write() as transaction:
        ledger.outbox.silence(transaction, number, silence)
        assert ledger.outbox.heard(transaction, number) == []
    assert ledger.outbox.silenced() == {number: silence}
    record(ledger, number, Verb.SILENCE_ENDED, NOW + HOUR)
    assert ledger.outbox.silenced() == {}


def test_a_silence_is_ended_and_never_deleted(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        number = ledger.silences.add(transaction, replace(SILENCE, maintenance="nightly"))
        ledger.silences.end(transaction, number, at=NOW + HOUR / 2, by="bob")
        found = ledger.silences.find(transaction, number)
        assert ledger.silences.find(transaction, 99) is None
    assert found is not None
    assert (found.ended_at, found.ended_by, found.maintenance) == (NOW + HOUR / 2, "bob", "nightly")
    assert ledger.silences.listed() == [found]
    assert ledger.silences.listed(at=NOW + HOUR / 2) == []
    assert ledger.silences.entered(found)
    assert not ledger.silences.entered(replace(found, maintenance="other"))


def test_who_has_heard_of_an_incident_is_known_by_sender_and_channel(ledger: Ledger) -> None:
    number = opened(ledger)
    with ledger.write() as transaction:
        for channel in ("#a", "#b"):
            recipient = Recipient("slack_bot", channel)
            ledger.outbox.queue_to(transaction, recipient, incident_id=number, transition="opened", notice={}, at=NOW)
        assert sorted(ledger.outbox.heard(transaction, number)) == [
            Recipient("slack_bot", "#a"),
            Recipient("slack_bot", "#b"),
        ]


def test_expected_records_are_counted_by_cause_and_breach(ledger: Ledger) -> None:
    number = opened(ledger)
    save(
        ledger, divergences=[replace(divergence(each), state=DivergenceState.OPEN, opened_at=NOW) for each in (1, 2)]
    )
    with ledger.write() as transaction:
        expected = ledger.expected_records
        assert expected.differing(transaction, "f", Breach.NOT_ARRIVING, 10) == ["1", "2"]
        assert expected.differing(transaction, "f", Breach.NOT_ARRIVING, 1) == ["1"]
        assert expected.differing(transaction, "f", Breach.ORPHAN, 10) == []
        span = {"since_at": NOW, "until_at": NOW + HOUR}
        expected.add(transaction, number, flow="f", breach=Breach.NOT_ARRIVING, keys=["1"], **span)
        expected.add(transaction, number, flow="f", breach=Breach.NOT_ARRIVING, keys=["1"], **span)
        expected.add(transaction, number, flow="f", breach=Breach.ORPHAN, keys=["2"], **span)
        assert expected.counts(transaction, "f", NOW) == {"late": 1}
        assert expected.counts(transaction, "f", NOW + HOUR) == {}
        assert expected.counts(transaction, "g", NOW) == {}
        expected.end(transaction, number, NOW + HOUR / 2)
        assert expected.counts(transaction, "f", NOW + HOUR / 2) == {}
