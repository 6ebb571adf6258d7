"""The stand-in for MongoDB against what the manual says, and against FerretDB where both know the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure

from tests.standins.mongodb import Fault, MongoServer

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


def test_it_greets_as_the_primary_of_a_replica_set_and_tells_cluster_time(server: MongoServer, things: Any) -> None:
    told = things.database.command("hello")
    assert (told["isWritablePrimary"], told["setName"]) == (True, "rs0")
    assert isinstance(told["operationTime"], Timestamp)
    assert told["$clusterTime"]["clusterTime"].time == told["operationTime"].time
    assert things.database.client.is_primary


# MongoDB manual, "Comparison/Sort Order": MinKey, null, numbers, text, objects, arrays, binary, ObjectId, booleans,
# dates, timestamps, regular expressions, MaxKey.
ORDERED: list[Any] = [
    *(
        MinKey(),
        None,
        float("nan"),
        -1,
        Decimal128("0.5"),
        1,
        1.5,
        Int64(2**40),
        "",
        "A",
        "a",
        {},
        {"a": 1},
        {"a": 2},
    ),
    *(b"z", b"ab", Binary(b"ab", 5), ObjectId("5" * 24), ObjectId("6" * 24), False, True, AT, AT + timedelta(1)),
    *(Timestamp(1, 1), Timestamp(1, 2), MaxKey()),
]


def test_values_of_all_types_have_the_order_of_the_manual(server: MongoServer, things: Any) -> None:
    server.collections["things"] = [{"_id": value, "n": at} for at, value in enumerate(ORDERED)][::-1]
    assert [each["n"] for each in things.find().sort("_id", 1)] == list(range(len(ORDERED)))
    assert [each["n"] for each in things.find({"_id": {"$gt": 1}}).sort("_id", 1)] == [6, 7]
    assert [each["n"] for each in things.find({"_id": {"$type": [19, -1]}}).sort("_id", 1)] == [0, 4]


FILTERS: list[dict[str, Any]] = [
    {},
    {"_id": {"$in": [1, "a", 2.0]}},
    {"n": {"$gte": 2}},
    {"n": {"$gt": "a"}},
    {"n": None},
    {"n": {"$ne": None}},
    {"n": {"$exists": False}},
    {"n": {"$not": {"$type": [9]}}},
    {"$and": [{"n": {"$ne": None}}, {"n": {"$not": {"$type": [1, 16, 18]}}}]},
    {"$or": [{"n": {"$gt": 2}}, {"n": {"$type": [2]}}]},
    {"a.b": 1},
    {"a.b": {"$gte": 2}},
    {"l.s": "x"},
    {"n": AT},
    {"n": {"$gte": AT}},
]


@pytest.mark.parametrize("condition", FILTERS, ids=str)
def test_it_answers_as_ferretdb_does(
    server: MongoServer, things: Any, ferretdb_url: str, condition: dict[str, Any]
) -> None:
    made: list[dict[str, Any]] = [
        {"_id": 1, "n": 1, "a": {"b": 1}},
        {"_id": 2, "n": 2.5, "a": {"b": 2}},
        {"_id": "a", "n": "b", "a": {"b": "1"}},
        {"_id": "b", "n": None, "a": None},
        {"_id": ObjectId("5" * 24), "l": [{"s": "x"}, {"s": "y"}]},
        {"_id": ObjectId("6" * 24), "n": [1, 5], "l": []},
        {"_id": 9, "n": AT, "a": {"b": [1, 2]}},
    ]
    server.collections["things"] = [dict(each) for each in made]
    client: MongoClient[dict[str, Any]] = MongoClient(ferretdb_url)
    name = f"t{uuid4().hex[:12]}"
    try:
        client[name]["things"].insert_many(made)
        for words in ({}, {"a.b": 1}, {"_id": 0, "l.s": 1}):
            asked: tuple[Any, ...] = (condition, words) if words else (condition,)
            there = list(client[name]["things"].find(*asked).sort("_id", 1))
            assert list(things.find(*asked).sort("_id", 1)) == there
    finally:
        client.drop_database(name)
        client.close()


def test_long_answers_come_in_batches(server: MongoServer, things: Any) -> None:
    server.collections["things"] = [{"_id": at} for at in range(300)]
    assert [each["_id"] for each in things.find()] == list(range(300))
    assert server.calls["getMore"] == 1, "101 in the first batch, then all that is left"
    assert [each["_id"] for each in things.find(limit=7, batch_size=3)] == list(range(7))


def test_a_collation_folds_case_unless_the_simple_one_is_asked_for(server: MongoServer, things: Any) -> None:
    server.collections["things"] = [{"_id": "a"}, {"_id": "A"}]
    server.options["things"] = {"collation": {"locale": "en", "strength": 2}}
    assert len(list(things.find({"_id": "a"}))) == 2
    assert len(list(things.find({"_id": "a"}, collation={"locale": "simple"}))) == 1


def test_views_have_no_indexes_and_what_is_not_known_is_refused(server: MongoServer, things: Any) -> None:
    server.views.add("things")
    assert [each["type"] for each in things.database.list_collections()] == ["view"]
    for code, call in (
        (166, lambda: list(things.list_indexes())),
        (59, lambda: things.insert_one({})),
        (2, lambda: list(things.find({"$where": "1"}))),
        (31249, lambda: list(things.find({}, {"a": 1, "a.b": 1}))),
    ):
        server.collections["things"] = [{"_id": 1}]
        with pytest.raises(OperationFailure) as caught:
            call()
        assert caught.value.code == code


def test_it_fails_as_it_is_told(server: MongoServer, things: Any) -> None:
    server.faults["find"] = [Fault(code=13, message="not authorized on shop")]
    with pytest.raises(OperationFailure, match="not authorized"):
        list(things.find())
    assert list(things.find()) == []
    server.faults["find"] = Fault(raw=None)
    with pytest.raises(AutoReconnect):
        list(things.find())
