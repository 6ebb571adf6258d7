"""The stand-in's Pub/Sub API against the published proto and the vendor's documents."""

from __future__ import annotations

import io
import json
import queue
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import fastavro
import grpc
import pytest

from tests.standins.salesforce import APP, Field, Salesforce
from tests.standins.salesforce.oauth import ORGANISATION
from tests.standins.salesforce.pubsub import (
    AUTH_ERROR,
    BAD_NUMBER,
    CORRUPTED,
    LIMIT_EXCEEDED,
    MISSING_ID,
    UNAVAILABLE,
)
from tests.standins.salesforce.wire import CUSTOM, EARLIEST, LATEST, MESSAGES, METHODS, SERVICE
from tests.waiting import wait_until

NOON = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
ACCOUNTS = "/data/AccountChangeEvent"
PATIENCE_S = 60


@pytest.fixture
def org() -> Iterator[Salesforce]:
    with Salesforce(start=NOON) as found:
        yield found


class Subscriber:
    """Somebody who calls the API."""

    def __init__(self, org: Salesforce) -> None:
        self.org = org
        form = f"grant_type=client_credentials&client_id={APP.client_id}&client_secret={APP.client_secret}"
        token = org.authority.token(form.encode(), {}, org.url)["access_token"]
        self.metadata = [("accesstoken", token), ("instanceurl", org.url), ("tenantid", ORGANISATION)]
        self.channel = grpc.insecure_channel(org.pubsub.target)
        self._schemas: dict[str, Any] = {}

    def _method(self, name: str) -> Any:
        asked, given = METHODS[name]
        make = self.channel.stream_stream if name == "Subscribe" else self.channel.unary_unary
        return make(f"/{SERVICE}/{name}", MESSAGES[asked].SerializeToString, MESSAGES[given].FromString)

    def topic(self, name: str) -> Any:
        return self._method("GetTopic")(
            MESSAGES["TopicRequest"](topic_name=name), metadata=self.metadata, timeout=PATIENCE_S
        )

    def schema(self, schema_id: str) -> Any:
        asked = MESSAGES["SchemaRequest"](schema_id=schema_id)
        return self._method("GetSchema")(asked, metadata=self.metadata, timeout=PATIENCE_S)

    def subscribe(
        self, topic: str = ACCOUNTS, number: int = 100, preset: int = EARLIEST, replay_id: bytes = b""
    ) -> Stream:
        asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        asked.put(
            MESSAGES["FetchRequest"](
                topic_name=topic, replay_preset=preset, replay_id=replay_id, num_requested=number
            )
        )
        call = self._method("Subscribe")(iter(asked.get, None), metadata=self.metadata, timeout=PATIENCE_S)
        return Stream(call, asked)

    def decoded(self, event: Any) -> dict[str, Any]:
        schema_id = event.event.schema_id
        if schema_id not in self._schemas:
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(self.schema(schema_id).schema_json))
        found = fastavro.schemaless_reader(io.BytesIO(event.event.payload), self._schemas[schema_id], None)
        assert isinstance(found, dict)
        return found

    def names(self, schema_id: str, bitmaps: list[str]) -> set[str]:
        """What a bitmap field names, decoded as the vendor's document describes."""
        fields = json.loads(self.schema(schema_id).schema_json)["fields"]
        found: set[str] = set()
        for each in bitmaps:
            place, dash, bits = each.partition("-")
            of = fields
            if dash:
                of = next(kind for kind in fields[int(place)]["type"] if isinstance(kind, dict))["fields"]
            number = int(bits or place, 16)
            found |= {field["name"] for at, field in enumerate(of) if number >> at & 1}
        return found


class Stream:
    """An open subscription."""

    def __init__(self, call: Any, asked: queue.SimpleQueue[Any]) -> None:
        self.call = call
        self._asked = asked

    def more(self, number: int, topic: str = "") -> None:
        self._asked.put(MESSAGES["FetchRequest"](num_requested=number, topic_name=topic))

    def end(self) -> None:
        self._asked.put(None)

    def events(self, count: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < count:
            found += next(self.call).events
        return found

    def failure(self) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            for _ in self.call:
                pass
        return failure(caught.value)


def failure(error: Any) -> tuple[grpc.StatusCode, str]:
    """The status and the vendor's code in the trailers."""
    trailers = dict(error.trailing_metadata())
    assert trailers["rpc-id"] in error.details()
    return error.code(), trailers.get("error-code", "")


@pytest.fixture
def subscriber(org: Salesforce) -> Iterator[Subscriber]:
    found = Subscriber(org)
    yield found
    found.channel.close()


def test_a_stream_ends_when_its_subscriber_leaves(org: Salesforce) -> None:
    stream = Subscriber(org).subscribe()
    wait_until(lambda: org.pubsub.streams == 1)
    stream.call.cancel()
    wait_until(lambda: org.pubsub.streams == 0)


def test_a_topic_and_its_schema(org: Salesforce, subscriber: Subscriber) -> None:
    found = subscriber.topic(ACCOUNTS)
    assert (found.topic_name, found.can_subscribe, found.can_publish) == (ACCOUNTS, True, False)
    schema = json.loads(subscriber.schema(found.schema_id).schema_json)
    assert schema["name"] == "AccountChangeEvent"
    names = [each["name"] for each in schema["fields"]]
    assert names[0] == "ChangeEventHeader"
    assert {"Id", "IsDeleted", "SystemModstamp"}.isdisjoint(names)
    assert subscriber.topic("/data/Subscription__ChangeEvent").schema_id != found.schema_id


@pytest.mark.parametrize("topic", ["/data/NothingChangeEvent", "/event/Nothing__e", ""])
def test_an_unknown_topic_is_not_found(subscriber: Subscriber, topic: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        subscriber.topic(topic)
    assert failure(caught.value)[0] == grpc.StatusCode.NOT_FOUND


def test_a_created_record_comes_whole(org: Salesforce, subscriber: Subscriber) -> None:
    stream = subscriber.subscribe()
    one = org.put("Account", Name="Acme", AnnualRevenue="12.5", Active__c=True, Renewal__c="2026-03-04")
    event = subscriber.decoded(stream.events(1)[0])
    header = event["ChangeEventHeader"]
    assert (header["entityName"], header["recordIds"], header["changeType"]) == ("Account", [one], "CREATE")
    assert (header["changedFields"], header["commitTimestamp"]) == ([], int(NOON.timestamp() * 1000))
    assert (event["Name"], event["AnnualRevenue"], event["Active__c"], event["Phone"]) == ("Acme", 12.5, True, None)
    assert event["CreatedDate"] == int(NOON.timestamp() * 1000)
    assert event["Renewal__c"] == int(datetime(2026, 3, 4, tzinfo=UTC).timestamp() * 1000)


def test_an_update_has_changed_fields_alone_and_names_them_in_bitmaps(
    org: Salesforce, subscriber: Subscriber
) -> None:
    one = org.put("Account", Name="Acme", Phone="1", Industry="Energy")
    stream = subscriber.subscribe(preset=LATEST, number=1)
    wait_until(lambda: org.pubsub.streams == 1)
    org.clock.advance(5)
    org.update(one, Phone=None, Name="New", Industry="Energy")
    found = stream.events(1)[0]
    event = subscriber.decoded(found)
    header = event["ChangeEventHeader"]
    schema_id = found.event.schema_id
    assert subscriber.names(schema_id, header["changedFields"]) == {"Name", "Phone", "LastModifiedDate"}
    assert subscriber.names(schema_id, header["nulledFields"]) == {"Phone"}
    assert (event["Name"], event["Phone"], event["Industry"]) == ("New", None, None)


def test_the_parts_of_a_compound_field_have_a_bitmap_of_their_own(org: Salesforce, subscriber: Subscriber) -> None:
    one = org.put("Contact", FirstName="Ann", LastName="Lee", Email="a@example.com")
    org.update(one, FirstName="Anna", Email="b@example.com")
    found = subscriber.subscribe("/data/ContactChangeEvent").events(2)[1]
    event = subscriber.decoded(found)
    maps = event["ChangeEventHeader"]["changedFields"]
    assert [("-" in each) for each in maps] == [False, True]
    assert subscriber.names(found.event.schema_id, maps) == {"FirstName", "Email", "LastModifiedDate"}
    assert event["Name"] == {"FirstName": "Anna", "LastName": None}


def test_a_deletion_has_no_values_and_an_undeletion_all(org: Salesforce, subscriber: Subscriber) -> None:
    one = org.put("Account", Name="Acme")
    org.delete(one)
    org.undelete(one)
    org.touch(one)
    events = [subscriber.decoded(each) for each in subscriber.subscribe(number=3).events(3)]
    assert [each["ChangeEventHeader"]["changeType"] for each in events] == ["CREATE", "DELETE", "UNDELETE"]
    assert {name for name, value in events[1].items() if value is not None} == {"ChangeEventHeader"}
    assert events[2]["Name"] == "Acme"


def test_the_same_change_of_several_records_is_one_event(org: Salesforce, subscriber: Subscriber) -> None:
    ids = [org.put("Account", Name="A"), org.put("Account", Name="B"), org.put("Account", Name="C")]
    with org.begin() as people:
        for each in ids:
            people.update(each, {"Industry": "Media"})
        people.update(ids[0], {"Phone": "1"})
    events = [subscriber.decoded(each)["ChangeEventHeader"] for each in subscriber.subscribe().events(5)]
    assert [each["recordIds"] for each in events[3:]] == [ids, ids[:1]]
    assert events[3]["transactionKey"] == events[4]["transactionKey"] != events[2]["transactionKey"]
    assert [each["sequenceNumber"] for each in events[3:]] == [1, 2]


def test_a_long_transaction_is_published_when_it_commits(org: Salesforce, subscriber: Subscriber) -> None:
    batch = org.begin()
    one = batch.put("Account", {"Name": "Early"})
    org.clock.advance(300)
    late = org.put("Account", Name="Late")
    batch.commit()
    events = [subscriber.decoded(each) for each in subscriber.subscribe().events(2)]
    assert [each["ChangeEventHeader"]["recordIds"] for each in events] == [[late], [one]]
    assert events[1]["ChangeEventHeader"]["commitTimestamp"] - events[1]["LastModifiedDate"] == 300_000


def test_all_changes_have_a_topic_and_gaps_tell_no_values(org: Salesforce, subscriber: Subscriber) -> None:
    one = org.put("Account", Name="Acme")
    org.put("Contact", LastName="Lee")
    org.bus.gap("UPDATE", "Account", one)
    org.bus.gap("OVERFLOW", "Account")
    events = [subscriber.decoded(each) for each in subscriber.subscribe("/data/ChangeEvents").events(4)]
    seen = [(each["ChangeEventHeader"]["changeType"], each["ChangeEventHeader"]["entityName"]) for each in events]
    assert seen == [
        ("CREATE", "Account"),
        ("CREATE", "Contact"),
        ("GAP_UPDATE", "Account"),
        ("GAP_OVERFLOW", "Account"),
    ]
    assert events[2]["Name"] is None
    assert events[3]["ChangeEventHeader"]["recordIds"] == []


def test_a_transaction_too_large_ends_in_an_overflow_event_per_object(
    org: Salesforce, subscriber: Subscriber
) -> None:
    org.bus.most_changes = 2
    with org.begin() as people:
        for number in range(4):
            people.put("Account", {"Name": f"A{number}"})
        people.put("Contact", {"LastName": "Lee"})
    events = [subscriber.decoded(each) for each in subscriber.subscribe("/data/ChangeEvents").events(4)]
    seen = [(each["ChangeEventHeader"]["changeType"], each["ChangeEventHeader"]["entityName"]) for each in events]
    assert seen == [("CREATE", "Account")] * 2 + [("GAP_OVERFLOW", "Account"), ("GAP_OVERFLOW", "Contact")]


def test_only_selected_objects_are_published(org: Salesforce, subscriber: Subscriber) -> None:
    org.bus.enabled = {"Contact"}
    org.put("Account", Name="Acme")
    org.put("Contact", LastName="Lee")
    found = subscriber.decoded(subscriber.subscribe("/data/ChangeEvents").events(1)[0])
    assert found["ChangeEventHeader"]["entityName"] == "Contact"
    with pytest.raises(grpc.RpcError):
        subscriber.topic(ACCOUNTS)


def test_a_platform_event(org: Salesforce, subscriber: Subscriber) -> None:
    org.bus.define("Order_Event__e", Field(name="Order__c"), Field(name="Amount__c", type="double"))
    org.bus.publish("Order_Event__e", Order__c="O-1", Amount__c=2.5)
    assert subscriber.topic("/event/Order_Event__e").can_publish
    event = subscriber.decoded(subscriber.subscribe("/event/Order_Event__e").events(1)[0])
    assert (event["Order__c"], event["Amount__c"], event["CreatedDate"]) == ("O-1", 2.5, int(NOON.timestamp() * 1000))


# flow control, replay, keepalive


def test_no_more_events_come_than_were_asked_for(org: Salesforce, subscriber: Subscriber) -> None:
    ids = [org.put("Account", Name=f"A{number}") for number in range(10)]
    org.pubsub.most_together = 2
    org.pubsub.keepalive_s = 0.05
    stream = subscriber.subscribe(number=3)
    responses = [next(stream.call) for _ in range(2)]
    assert [(len(each.events), each.pending_num_requested) for each in responses] == [(2, 1), (1, 0)]
    assert not next(stream.call).events
    stream.more(4)
    stream.more(3)
    found = [each for response in responses for each in response.events] + stream.events(7)
    assert [subscriber.decoded(each)["ChangeEventHeader"]["recordIds"][0] for each in found] == ids


def test_a_subscription_resumes_behind_a_replay_id(org: Salesforce, subscriber: Subscriber) -> None:
    ids = [org.put("Account", Name=f"A{number}") for number in range(5)]
    events = subscriber.subscribe().events(5)
    numbers = [int.from_bytes(each.replay_id, "big") for each in events]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] > 4  # they are not contiguous
    again = subscriber.subscribe(preset=CUSTOM, replay_id=events[2].replay_id).events(2)
    assert [subscriber.decoded(each)["ChangeEventHeader"]["recordIds"][0] for each in again] == ids[3:]


def test_a_keepalive_names_the_end_of_the_stream(org: Salesforce, subscriber: Subscriber) -> None:
    org.bus.define("Order_Event__e", Field(name="Order__c"))
    org.pubsub.keepalive_s = 0.05
    stream = subscriber.subscribe(preset=LATEST)
    first = next(stream.call)
    assert (list(first.events), first.pending_num_requested) == ([], 100)
    published = org.bus.publish("Order_Event__e", Order__c="O-1")  # of another topic
    latest = first.latest_replay_id
    while latest != published:
        latest = next(stream.call).latest_replay_id
    stream.call.cancel()
    one = org.put("Account", Name="Acme")
    event = subscriber.subscribe(preset=CUSTOM, replay_id=latest).events(1)[0]
    assert subscriber.decoded(event)["ChangeEventHeader"]["recordIds"] == [one]


def test_a_replay_id_behind_72_hours_is_refused_and_the_events_are_gone(
    org: Salesforce, subscriber: Subscriber
) -> None:
    org.put("Account", Name="Old")
    old = subscriber.subscribe().events(1)[0].replay_id
    org.clock.advance(73 * 3600)
    subscriber = Subscriber(org)
    corrupted = (grpc.StatusCode.INVALID_ARGUMENT, CORRUPTED)
    assert subscriber.subscribe(preset=CUSTOM, replay_id=old).failure() == corrupted
    new = org.put("Account", Name="New")
    event = subscriber.subscribe(preset=EARLIEST).events(1)[0]
    assert subscriber.decoded(event)["ChangeEventHeader"]["recordIds"] == [new]
    org.bus.reset()
    assert subscriber.subscribe(preset=CUSTOM, replay_id=event.replay_id).failure() == corrupted
    assert subscriber.subscribe(preset=CUSTOM, replay_id=b"nonsense").failure() == corrupted
    assert subscriber.subscribe(preset=CUSTOM).failure() == (grpc.StatusCode.INVALID_ARGUMENT, MISSING_ID)
    subscriber.channel.close()


@pytest.mark.parametrize("number", [0, -1, 101])
def test_a_request_is_for_1_to_100_events(subscriber: Subscriber, number: int) -> None:
    wrong = (grpc.StatusCode.INVALID_ARGUMENT, BAD_NUMBER)
    assert subscriber.subscribe(number=number).failure() == wrong
    stream = subscriber.subscribe()
    stream.more(number)
    assert stream.failure() == wrong


def test_the_topic_of_a_stream_does_not_change(subscriber: Subscriber) -> None:
    stream = subscriber.subscribe()
    stream.more(1, "/data/ContactChangeEvent")
    assert stream.failure()[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_ends_when_nothing_is_pending(org: Salesforce, subscriber: Subscriber) -> None:
    org.put("Account", Name="Acme")
    org.pubsub.idle_s = 0.05
    assert [len(each.events) for each in subscriber.subscribe(number=1).call] == [1]
    stream = subscriber.subscribe(number=1)
    stream.end()
    assert [len(each.events) for each in stream.call] == [1]


# what goes wrong


def test_nobody_subscribes_without_a_session_of_this_org(org: Salesforce, subscriber: Subscriber) -> None:
    right = subscriber.metadata
    refused = (grpc.StatusCode.UNAUTHENTICATED, AUTH_ERROR)
    for wrong in (("accesstoken", "x"), ("instanceurl", "https://example.com"), ("tenantid", "00D000000000001")):
        subscriber.metadata = [wrong if name == wrong[0] else (name, value) for name, value in right]
        assert subscriber.subscribe().failure() == refused
    subscriber.metadata = right
    stream = subscriber.subscribe()
    wait_until(lambda: org.pubsub.streams == 1)
    org.revoke_tokens()
    assert stream.failure() == refused
    assert subscriber.subscribe().failure() == refused


def test_calls_fail_and_streams_break(org: Salesforce, subscriber: Subscriber) -> None:
    org.pubsub.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, LIMIT_EXCEEDED)
    assert subscriber.subscribe().failure() == (grpc.StatusCode.RESOURCE_EXHAUSTED, LIMIT_EXCEEDED)
    stream = subscriber.subscribe()
    wait_until(lambda: org.pubsub.streams == 1)
    org.pubsub.break_streams()
    assert stream.failure() == (grpc.StatusCode.UNAVAILABLE, UNAVAILABLE)
    assert org.pubsub.calls["Subscribe"] == 2


def test_events_are_held_back_and_come_twice(org: Salesforce, subscriber: Subscriber) -> None:
    org.pubsub.repeating = True
    org.pubsub.keepalive_s = 0.05
    org.bus.hold()
    stream = subscriber.subscribe(preset=LATEST)
    before = next(stream.call).latest_replay_id
    one = org.put("Account", Name="Acme")
    assert next(stream.call).latest_replay_id == before
    org.bus.release()
    events = [subscriber.decoded(each) for each in stream.events(2)]
    assert [each["ChangeEventHeader"]["recordIds"] for each in events] == [[one], [one]]
