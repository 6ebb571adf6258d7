"""Platform events of the stand-in's org, as the letters of a queue."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import grpc
import pytest
from pydantic import ValidationError

from probes import registry
from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues import salesforce_events
from probes.queues.salesforce_events import SalesforceEventsProbe, SalesforceEventsSettings
from probes.records.salesforce.event_bus import EventBus
from probes.records.salesforce.settings import SalesforceSettings
from tests.standins.salesforce import APP, Field, Salesforce
from tests.standins.salesforce.pubsub import LIMIT_EXCEEDED

TOPIC = "Failed_Sync__e"


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salesforce_events, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(salesforce_events, "SILENCE_S", 10.0)


@pytest.fixture
def org() -> Iterator[Salesforce]:
    with Salesforce() as found:
        found.pubsub.keepalive_s = 0.05
        found.bus.define(
            TOPIC, Field(name="Record__c"), Field(name="Error__c"), Field(name="Tries__c", type="double")
        )
        yield found


def system(org: Salesforce, **more: Any) -> SalesforceSettings:
    words = {"kind": "salesforce", "url": org.url, "client_id": APP.client_id, "client_secret": APP.client_secret}
    return SalesforceSettings.model_validate(words | {"event_bus": org.pubsub.target} | more)


def settings(**more: Any) -> SalesforceEventsSettings:
    words = {"kind": "salesforce_events", "system": "crm", "topic": TOPIC, "timeout": "30s"}
    return SalesforceEventsSettings.model_validate(
        words | {"key": "field:Record__c", "reason": "field:Error__c"} | more
    )


@pytest.fixture
def probe(org: Salesforce) -> Iterator[QueueProbe]:
    found = registry.open_queue_probe(settings(), system(org))
    yield found
    found.close()


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


def test_an_event_is_a_letter_and_stays_one(org: Salesforce, probe: QueueProbe) -> None:
    org.bus.publish(TOPIC, Record__c="17", Error__c="no such customer", Tries__c=2.0)
    for _ in range(2):
        reading = probe.read(10)
        (letter,) = reading.letters
        assert (reading.depth, reading.truncated) == (1, False)
        assert (letter.key, letter.reason) == ("17", "no such customer")
        assert letter.payload is not None
        assert '"Tries__c": 2.0' in letter.payload
        assert reading.oldest_at == letter.first_failed_at
        assert reading.drops_at is not None
        assert reading.oldest_at is not None
        assert (reading.drops_at - reading.oldest_at).total_seconds() == reading.retention_s == 72 * 3600


def test_each_event_is_delivered_once(org: Salesforce, probe: QueueProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        org.bus.publish(TOPIC, Record__c=str(number))
    assert probe.read(0).depth == 3
    org.bus.publish(TOPIC, Record__c="3")
    assert probe.read(0).depth == 4
    monkeypatch.setattr(salesforce_events, "LOOK_EVERY_S", 1e6)
    calls = org.pubsub.calls["Subscribe"]
    assert probe.read(10).depth == 4
    assert org.pubsub.calls["Subscribe"] == calls


def test_letters_are_read_page_by_page(org: Salesforce, probe: QueueProbe) -> None:
    for number in range(5):
        org.bus.publish(TOPIC, Record__c=str(number))
    first = probe.read(3)
    second = probe.read(3, first.next)
    assert [each.key for each in (*first.letters, *second.letters)] == ["0", "1", "2", "3", "4"]
    assert (first.truncated, second.truncated) == (True, False)
    assert first.left_mark == second.left_mark


def test_an_empty_topic_has_no_letters(probe: QueueProbe) -> None:
    reading = probe.read(10)
    assert (reading.depth, reading.oldest_at, reading.letters) == (0, None, [])


def test_events_that_the_bus_has_dropped_are_no_letters(org: Salesforce, probe: QueueProbe) -> None:
    org.clock.advance(-71 * 3600)
    org.bus.publish(TOPIC, Record__c="old")
    org.clock.stand_at(None)
    org.bus.publish(TOPIC, Record__c="new")
    assert probe.read(0).depth == 2
    org.bus.reset()  # the org was moved: the bus has nothing of what was read
    org.bus.publish(TOPIC, Record__c="newest")
    assert [each.key for each in probe.read(10).letters] == ["newest"]


def test_what_is_not_read_yet_is_not_counted(
    org: Salesforce, probe: QueueProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salesforce_events, "MOST_EVENTS", 3)
    monkeypatch.setattr(salesforce_events, "AT_ONCE", 3)
    for number in range(5):
        org.bus.publish(TOPIC, Record__c=str(number))
    reading = probe.read(10)
    assert (reading.depth, reading.truncated, len(reading.letters)) == (None, True, 3)
    assert "unknown" in reading.notes[0]


def test_a_schema_with_more_than_simple_values_is_not_decoded(
    org: Salesforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = {"name": "x", "type": {"type": "array", "items": "null"}}
    monkeypatch.setattr(
        EventBus, "schema", lambda *_: {"type": "record", "name": "Failed_Sync__e", "fields": [endless]}
    )
    org.bus.publish(TOPIC, Record__c="17")
    with closing(registry.open_queue_probe(settings(), system(org))) as probe:
        (letter,) = probe.read(10).letters
    assert "simple value" in letter.unreadable


def test_a_topic_that_does_not_exist_is_an_error(org: Salesforce) -> None:
    probe = registry.open_queue_probe(settings(topic="Unknown__e"), system(org))
    assert failure(lambda: probe.read(0)).reason is Reason.QUERY
    assert failure(probe.prove_read_only).reason is Reason.QUERY
    probe.close()


@pytest.mark.parametrize(
    ("code", "named", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "", Reason.UNREACHABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, LIMIT_EXCEEDED, Reason.OVER_BUDGET),
        (grpc.StatusCode.UNAUTHENTICATED, "", Reason.AUTH),
    ],
)
def test_a_bus_that_fails_is_named(
    org: Salesforce, probe: QueueProbe, code: grpc.StatusCode, named: str, reason: Reason
) -> None:
    org.pubsub.fail(code, named, on="*", times=2)
    assert failure(lambda: probe.read(0)).reason is reason


def test_a_broken_line_of_either_kind_is_a_named_error(org: Salesforce) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{closed.getsockname()[1]}"
        for more in ({"url": f"http://{gone}"}, {"event_bus": gone}):
            probe = registry.open_queue_probe(settings(), system(org, **more))
            error = failure(lambda probe=probe: probe.read(0))  # type: ignore[misc]
            assert error.reason is Reason.UNREACHABLE
            assert APP.client_secret not in str(error)
            probe.close()


def test_a_bus_that_never_responds_is_a_timeout(org: Salesforce) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        target = f"127.0.0.1:{deaf.getsockname()[1]}"
        probe = registry.open_queue_probe(settings(timeout="0.5s"), system(org, event_bus=target))
        assert failure(lambda: probe.read(0)).reason in {Reason.TIMEOUT, Reason.UNREACHABLE}
        probe.close()


@pytest.mark.parametrize("wrong", [{"role": "main"}, {"role": "retry"}, {"topic": "/data/AccountChangeEvent"}])
def test_what_the_bus_cannot_tell_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_it_lives_in_a_salesforce_system() -> None:
    system_of_another_kind: Any = object()
    with pytest.raises(ProbeError):
        SalesforceEventsProbe(settings(), system_of_another_kind)
