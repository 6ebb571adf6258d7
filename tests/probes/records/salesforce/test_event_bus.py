"""Reading the event bus of the stand-in's org, which fails as the vendor documents."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from probes.call_deadline import within
from probes.contract import ProbeError, Reason
from probes.metering import RateLimit, SpentError, metered
from probes.records.salesforce import event_bus
from probes.records.salesforce.event_bus import EARLIEST, EventBus, is_local
from probes.records.salesforce.session import Session
from probes.records.salesforce.settings import SalesforceSettings
from tests.standins.salesforce import APP, Field, Salesforce
from tests.standins.salesforce.pubsub import AUTH_ERROR, CORRUPTED, LIMIT_EXCEEDED
from tests.waiting import wait_until

NOON = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
ACCOUNTS = "/data/AccountChangeEvent"
PATIENT_S = 60.0


@pytest.fixture
def org() -> Iterator[Salesforce]:
    with Salesforce(start=NOON) as found:
        yield found


def opened(org: Salesforce, address: str = "") -> EventBus:
    words = {"kind": "salesforce", "url": org.url, "client_id": APP.client_id, "client_secret": APP.client_secret}
    session = Session(SalesforceSettings.model_validate(words | {"budget": {"timeout": 30}}))
    return EventBus(address or org.pubsub.target, org.url, session, session.scrub.line)


@pytest.fixture
def bus(org: Salesforce) -> Iterator[EventBus]:
    found = opened(org)
    yield found
    found.close()


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught, within(PATIENT_S):
        call()
    return caught.value


def test_events_are_read_on_from_a_position(org: Salesforce, bus: EventBus) -> None:
    org.put("Account", Name="one")
    first = bus.read(ACCOUNTS, None, 500, PATIENT_S, start=EARLIEST)
    assert len(first.events) == 1
    assert first.position == first.events[-1].replay_id
    for number in range(3):
        org.put("Account", Name=f"more {number}")
    second = bus.read(ACCOUNTS, first.position, 500, PATIENT_S)
    assert len(second.events) == 3
    # Nothing was consumed: the same position gives the same events.
    again = bus.read(ACCOUNTS, first.position, 500, PATIENT_S)
    assert [each.event_id for each in again.events] == [each.event_id for each in second.events]


def test_more_events_are_requested_until_the_limit(
    org: Salesforce, bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_bus, "QUIET_S", PATIENT_S)
    for number in range(250):
        org.put("Account", Name=f"A{number}")
    delivered = bus.read(ACCOUNTS, None, 230, PATIENT_S, start=EARLIEST)
    assert len(delivered.events) == 230
    assert delivered.more
    rest = bus.read(ACCOUNTS, delivered.position, 20, PATIENT_S)
    assert len(rest.events) == 20


def test_a_reading_waits_for_the_first_event(org: Salesforce, bus: EventBus) -> None:
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.append(bus.read(ACCOUNTS, None, 10, PATIENT_S)))
    reader.start()
    wait_until(lambda: org.pubsub.streams == 1)
    org.put("Account", Name="one")
    reader.join(PATIENT_S)
    assert len(found[0].events) == 1
    wait_until(lambda: org.pubsub.streams == 0)


def test_without_events_the_position_comes_with_the_keepalive(org: Salesforce, bus: EventBus) -> None:
    org.pubsub.keepalive_s = 0.05
    delivered = bus.read(ACCOUNTS, None, 10, PATIENT_S)
    assert delivered.events == []
    assert delivered.position
    org.put("Account", Name="later")
    assert len(bus.read(ACCOUNTS, delivered.position, 10, PATIENT_S).events) == 1


def test_a_silent_bus_gives_neither_events_nor_a_position(org: Salesforce, bus: EventBus) -> None:
    delivered = bus.read(ACCOUNTS, None, 10, 0.1)
    assert (delivered.events, delivered.position) == ([], None)


def test_an_aged_position_is_lost(org: Salesforce, bus: EventBus) -> None:
    org.put("Account", Name="one")
    position = bus.read(ACCOUNTS, None, 10, PATIENT_S, start=EARLIEST).position
    org.clock.advance(73 * 3600)
    lost = failure(lambda: bus.read(ACCOUNTS, position, 10, PATIENT_S))
    assert lost.reason is Reason.CURSOR_LOST


def test_a_revoked_token_is_renewed_once(org: Salesforce, bus: EventBus) -> None:
    with within(PATIENT_S):
        bus.check_topic(ACCOUNTS)
        org.revoke_tokens()
        bus.check_topic(ACCOUNTS)
    assert org.calls["token"] == 2
    org.pubsub.fail(grpc.StatusCode.UNAUTHENTICATED, AUTH_ERROR, on="GetTopic", times=2)
    assert failure(lambda: bus.check_topic(ACCOUNTS)).reason is Reason.AUTH
    assert org.calls["token"] == 3


@pytest.mark.parametrize(
    ("code", "named", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "", Reason.UNREACHABLE),
        (grpc.StatusCode.INTERNAL, "", Reason.UNREACHABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, LIMIT_EXCEEDED, Reason.OVER_BUDGET),
        (grpc.StatusCode.PERMISSION_DENIED, "", Reason.PERMISSION),
        (grpc.StatusCode.NOT_FOUND, "", Reason.QUERY),
        (grpc.StatusCode.INVALID_ARGUMENT, CORRUPTED, Reason.CURSOR_LOST),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", Reason.TIMEOUT),
    ],
)
def test_each_way_to_fail_has_a_reason(
    org: Salesforce, bus: EventBus, code: grpc.StatusCode, named: str, reason: Reason
) -> None:
    org.pubsub.fail(code, named)
    found = failure(lambda: bus.read(ACCOUNTS, None, 10, PATIENT_S))
    assert found.reason is reason
    assert APP.client_secret not in str(found)


def test_a_topic_that_does_not_exist_is_named(org: Salesforce, bus: EventBus) -> None:
    org.bus.enabled = {"Contact"}
    found = failure(lambda: bus.check_topic(ACCOUNTS))
    assert found.reason is Reason.QUERY
    assert "Change Data Capture" in found.hint


def test_a_stream_that_breaks_off_is_an_error(org: Salesforce, bus: EventBus) -> None:
    found: list[ProbeError] = []
    reader = threading.Thread(target=lambda: found.append(failure(lambda: bus.read(ACCOUNTS, None, 10, PATIENT_S))))
    reader.start()
    wait_until(lambda: org.pubsub.streams == 1)
    org.pubsub.break_streams()
    reader.join(PATIENT_S)
    assert found[0].reason is Reason.UNREACHABLE


def test_closing_ends_a_reading(org: Salesforce, bus: EventBus) -> None:
    found: list[ProbeError] = []
    reader = threading.Thread(target=lambda: found.append(failure(lambda: bus.read(ACCOUNTS, None, 10, PATIENT_S))))
    reader.start()
    wait_until(lambda: org.pubsub.streams == 1)
    bus.close()
    reader.join(PATIENT_S)
    assert found[0].reason is Reason.UNREACHABLE
    assert failure(lambda: bus.read(ACCOUNTS, None, 10, PATIENT_S)).reason is Reason.UNREACHABLE


def test_a_bus_that_is_gone_is_unreachable(org: Salesforce) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bus = opened(org, f"127.0.0.1:{free.getsockname()[1]}")
        assert failure(lambda: bus.check_topic(ACCOUNTS)).reason is Reason.UNREACHABLE
    bus.close()


def test_a_bus_that_never_responds_ends_a_request_in_time(org: Salesforce) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        bus = opened(org, f"127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(ProbeError) as caught, within(0.5):
            bus.check_topic(ACCOUNTS)
        assert caught.value.reason in {Reason.TIMEOUT, Reason.UNREACHABLE}
        assert bus.read(ACCOUNTS, None, 10, 0.2).position is None
        bus.close()


def test_a_followed_subscription_stays_open(org: Salesforce, bus: EventBus) -> None:
    org.pubsub.keepalive_s = 0.05
    position = bus.follow(ACCOUNTS, None, 10, PATIENT_S).position
    found: list[str] = []
    for number in range(30):
        org.put("Account", Name=f"A{number}")
        delivered = bus.follow(ACCOUNTS, position, 10, PATIENT_S)
        position = delivered.position
        found += [each.event_id for each in delivered.events]
    while delivered.events:
        delivered = bus.follow(ACCOUNTS, position, 10, PATIENT_S)
        position = delivered.position
        found += [each.event_id for each in delivered.events]
    assert len(found) == len(set(found)) == 30
    assert org.pubsub.calls["Subscribe"] == 1


def test_a_followed_subscription_that_broke_off_is_opened_again(org: Salesforce, bus: EventBus) -> None:
    org.pubsub.keepalive_s = 0.05
    position = bus.follow(ACCOUNTS, None, 10, PATIENT_S).position
    org.pubsub.break_streams()
    org.put("Account", Name="one")
    assert len(bus.follow(ACCOUNTS, position, 10, PATIENT_S).events) == 1
    assert org.pubsub.calls["Subscribe"] == 2


def test_followers_at_two_positions_get_each_event_once(org: Salesforce, bus: EventBus) -> None:
    org.pubsub.keepalive_s = 0.05
    begun = bus.follow(ACCOUNTS, None, 10, PATIENT_S).position
    org.put("Account", Name="one")
    ahead = bus.follow(ACCOUNTS, begun, 10, PATIENT_S)
    behind = bus.follow(ACCOUNTS, begun, 10, PATIENT_S)
    assert [each.event_id for each in ahead.events] == [each.event_id for each in behind.events]
    org.put("Account", Name="two")
    for follower in (ahead, behind):
        events = bus.follow(ACCOUNTS, follower.position, 10, PATIENT_S).events
        assert len(events) == 1


def test_every_request_counts_and_a_spent_budget_sends_nothing(org: Salesforce, bus: EventBus) -> None:
    class Meter:
        calls = 0
        most = 3

        def spend(self, calls: int = 1) -> None:
            if self.calls + calls > self.most:
                raise SpentError(Reason.OVER_BUDGET, "spent")
            self.calls += calls

        def learned(self, limit: RateLimit) -> None:
            pass

    meter = Meter()
    with metered(meter), within(PATIENT_S):
        bus.check_topic(ACCOUNTS)  # with the token
        bus.check_topic(ACCOUNTS)
        assert meter.calls == 3
        with pytest.raises(SpentError):
            bus.read(ACCOUNTS, None, 10, PATIENT_S)
    assert org.pubsub.calls["Subscribe"] == 0


def test_schemas_are_read_once(org: Salesforce, bus: EventBus) -> None:
    org.bus.define("Order_Event__e", Field(name="Order__c"))
    org.bus.publish("Order_Event__e", Order__c="17")
    (event,) = bus.read("/event/Order_Event__e", None, 10, PATIENT_S, start=EARLIEST).events
    with within(PATIENT_S):
        assert bus.schema(event.schema_id) == bus.schema(event.schema_id)
    assert org.pubsub.calls["GetSchema"] == 1


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:7443", True),
        ("[::1]:7443", True),
        ("api.pubsub.salesforce.com:7443", False),
        ("10.0.0.1:1", False),
    ],
)
def test_only_this_machine_is_spoken_to_without_tls(address: str, local: bool) -> None:
    assert is_local(address) is local
