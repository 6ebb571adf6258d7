"""The stand-in's change streams against what MongoDB's manual and its driver specifications say, read by PyMongo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Timestamp
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from tests.standins.mongodb import MongoServer

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[MongoServer]:
    made = MongoServer()
    yield made
    made.close()


@pytest.fixture
def things(server: MongoServer) -> Iterator[Any]:
    server.collections["things"] = []
    client: MongoClient[dict[str, Any]] = MongoClient(server.url, serverMonitoringMode="poll")
    yield client[server.name]["things"]
    client.close()


def start(at: datetime) -> dict[str, Any]:
    return {"start_at_operation_time": Timestamp(int(at.timestamp()), 0)}


def kinds(stream: Any) -> list[str]:
    return [event["operationType"] for event in iter(stream.try_next, None)]


def refused(things: Any, **words: Any) -> int | None:
    with pytest.raises(OperationFailure) as caught:
        things.watch(**words)
    return caught.value.code


def test_a_stream_returns_what_happens_after_it_was_opened(server: MongoServer, things: Any) -> None:
    server.write("things", "insert", {"_id": 1, "n": 1})
    with things.watch() as stream:
        assert stream.try_next() is None
        server.write("things", "update", {"_id": 1, "n": 2})
        server.write("others", "insert", {"_id": 1})
        server.write("things", "replace", {"_id": 1, "n": 3})
        server.write("things", "delete", {"_id": 1})
        assert kinds(stream) == ["update", "replace", "delete"]
    assert server.collections["things"] == []


def test_an_event_has_the_parts_of_the_manual_and_can_be_projected(server: MongoServer, things: Any) -> None:
    server.write("things", "insert", {"_id": 1, "n": 1}, AT)
    event = things.watch(**start(AT)).next()
    assert {*event} == {"_id", "operationType", "clusterTime", "wallTime", "ns", "documentKey", "fullDocument"}
    assert (event["clusterTime"], event["documentKey"]) == (Timestamp(int(AT.timestamp()), 1), {"_id": 1})
    assert event["ns"] == {"db": "shop", "coll": "things"}
    assert {*things.watch([{"$project": {"documentKey": 1}}], **start(AT)).next()} == {"_id", "documentKey"}


def test_a_stream_starts_at_a_time_or_after_a_token(server: MongoServer, things: Any) -> None:
    for number in range(5):
        server.write("things", "insert", {"_id": number}, AT + timedelta(seconds=number))
    with things.watch(batch_size=2, **start(AT + timedelta(seconds=1))) as stream:
        first = [stream.next()["documentKey"]["_id"] for _ in range(2)]
        token = stream.resume_token
    assert first == [1, 2]
    with things.watch(resume_after=token) as stream:
        assert [event["documentKey"]["_id"] for event in iter(stream.try_next, None)] == [3, 4]
        later = stream.resume_token
    assert later["_data"] > token["_data"], "tokens sort"
    server.write("things", "insert", {"_id": 9})
    with things.watch(resume_after=later) as stream:
        assert stream.next()["documentKey"] == {"_id": 9}


def test_operations_of_one_second_have_increasing_times(server: MongoServer) -> None:
    times = [server.oplog.append("things", "insert", AT, {"_id": number}).at for number in range(3)]
    assert times == [Timestamp(int(AT.timestamp()), number) for number in (1, 2, 3)]


def test_a_response_without_events_still_has_a_later_token(server: MongoServer, things: Any) -> None:
    for number in range(6):
        server.write("others", "insert", {"_id": number}, AT + timedelta(seconds=number))
    server.write("things", "insert", {"_id": 1}, AT + timedelta(seconds=9))
    server.oplog.scanned_at_once = 2
    with things.watch(**start(AT)) as stream:
        tokens = [stream.resume_token["_data"]]
        while (event := stream.try_next()) is None:
            tokens.append(stream.resume_token["_data"])
    assert event["documentKey"] == {"_id": 1}
    assert tokens == sorted(set(tokens))
    assert len(tokens) == 3


def test_what_the_oplog_no_longer_holds_cannot_be_read(server: MongoServer, things: Any) -> None:
    server.write("things", "insert", {"_id": 1}, AT)
    server.write("others", "insert", {"_id": 1}, AT)
    server.oplog.scanned_at_once = 1
    with things.watch(**start(AT)) as stream:
        token = stream.next()["_id"]
        server.oplog.roll(AT + timedelta(hours=1))
        with pytest.raises(OperationFailure) as lost:
            stream.try_next()
    assert lost.value.code in {136, 286}
    assert refused(things, resume_after=token) == 286
    assert refused(things, **start(AT)) == 286
    things.watch(**start(AT + timedelta(hours=2))).close()


def test_a_dropped_collection_ends_its_streams(server: MongoServer, things: Any) -> None:
    with things.watch() as stream:
        server.write("things", "drop", {})
        assert (stream.next()["operationType"], stream.next()["operationType"]) == ("drop", "invalidate")
        assert not stream.alive
        token = stream.resume_token
    assert refused(things, resume_after=token) == 260
    server.write("things", "insert", {"_id": 1})
    with things.watch(start_after=token) as stream:
        assert kinds(stream) == ["insert"]


def test_it_refuses_what_the_manual_says_is_refused(server: MongoServer, things: Any) -> None:
    with things.watch() as stream:
        token = stream.resume_token
    both = {"$changeStream": {"resumeAfter": token, "startAtOperationTime": Timestamp(1, 0)}}
    with pytest.raises(OperationFailure) as several:
        things.database.command({"aggregate": "things", "pipeline": [both], "cursor": {}})
    assert several.value.code == 40674
    things.watch(resume_after=token).close()
    assert refused(things, resume_after={"_data": "x"}) == 260
    server.views.add("things")
    assert refused(things) == 166
    with pytest.raises(OperationFailure) as other:
        things.aggregate([{"$match": {}}])
    assert other.value.code == 40324


def test_a_standalone_server_has_no_streams_and_no_cluster_time(server: MongoServer) -> None:
    server.standalone = True
    url = f"mongodb://127.0.0.1:{server.port}/"
    client: MongoClient[dict[str, Any]] = MongoClient(url, serverMonitoringMode="poll")
    assert "operationTime" not in client["shop"].command("hello")
    assert refused(client["shop"]["things"]) == 40573
    client.close()
