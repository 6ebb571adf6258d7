"""The MongoDB probe against our stand-in: what FerretDB lacks, and servers that fail, lie or never end."""

from __future__ import annotations

import ssl
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import bson
import pytest
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, MaxKey, MinKey, ObjectId
from bson.int64 import Int64

from auditor.systems.reader import SystemReader
from checks.keys import key_parser
from probes import registry
from probes.contract import ProbeError, ReadSpec, Reason
from probes.exact_json import Undecodable
from probes.records.mongodb.probe import MongoDbProbe
from probes.records.mongodb.settings import MongoDbSettings
from probes.wording import WHERE_IT_RUNS
from tests.attacks.wires import ANY, MONGODB, Wire
from tests.servers import free_port
from tests.standins.mongodb import Fault, MongoServer
from tests.waiting import wait_until
from tests.wire_server import WireServer

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
PATIENT_S = 60.0


def settings(url: str, timeout_s: float = PATIENT_S, **words: Any) -> MongoDbSettings:
    return MongoDbSettings.model_validate({"kind": "mongodb", "url": url, "budget": {"timeout": timeout_s}, **words})


def spec(*fields: str, key: str = "_id", **words: Any) -> ReadSpec:
    changed_at = words.pop("changed_at", None)
    return ReadSpec(data_type="thing", collection="things", key=key, changed_at=changed_at, fields=fields, **words)


@pytest.fixture
def server() -> Iterator[MongoServer]:
    made = MongoServer()
    made.collections["things"] = [{"_id": at, "n": at, "at": AT + timedelta(seconds=at)} for at in range(5)]
    yield made
    made.close()


@pytest.fixture
def probe(server: MongoServer) -> Iterator[MongoDbProbe]:
    opened = MongoDbProbe(settings(server.url))
    yield opened
    opened.close()


def fails(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


# -- what FerretDB lacks


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (Decimal128("12.50"), Decimal("12.50")),
        (Decimal128("1E-6176"), Decimal("1E-6176")),
        (Decimal128("9999999999999999999999999999999999"), Decimal("9999999999999999999999999999999999")),
        (Decimal128("Infinity"), Decimal("Infinity")),
    ],
)
def test_decimals_are_read_exactly(server: MongoServer, probe: MongoDbProbe, stored: Any, read: Decimal) -> None:
    server.collections["things"] = [{"_id": 1, "value": stored}]
    assert probe.fetch(spec("value", key_type="integer"), [1]) == [(1, None, read)]


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (MinKey(), "MinKey"),
        (MaxKey(), "MaxKey"),
        (Code("1"), "JavaScript"),
        (DBRef("others", 1), "reference"),
        (Binary(b"x", 6), "encrypted"),
        (DatetimeMS(2**62), "a date beyond"),
        ({"deep": {"bytes": b"\x00"}}, "bytes within a document"),
    ],
)
def test_what_has_no_counterpart_is_named(server: MongoServer, probe: MongoDbProbe, stored: Any, said: str) -> None:
    server.collections["things"] = [{"_id": 1, "value": stored}]
    ((_, _, value),) = probe.fetch(spec("value", key_type="integer"), [1])
    while isinstance(value, dict):
        value = next(iter(value.values()))
    assert isinstance(value, Undecodable)
    assert said in value.reason


def test_what_a_reference_leads_to_is_read_by_its_field(server: MongoServer, probe: MongoDbProbe) -> None:
    server.collections["things"] = [{"_id": 1, "customer": {"$ref": "customers", "$id": ObjectId("5" * 24)}}]
    assert probe.fetch(spec("customer.$id", key_type="integer"), [1]) == [(1, None, "5" * 24)]
    assert probe.fetch(spec("customer.$id", "customer", key_type="integer"), [1])[0][2] == "5" * 24


@pytest.mark.parametrize(
    ("key_type", "stored", "key"),
    [
        ("string", Decimal128("12.50"), "12.50"),
        ("string", Decimal128("7"), "7"),
        ("integer", Decimal128("7"), 7),
        ("integer", Decimal128("123456789012345678901234567890"), 123456789012345678901234567890),
    ],
)
def test_decimal_keys_are_found(
    server: MongoServer, probe: MongoDbProbe, key_type: str, stored: Any, key: Any
) -> None:
    server.collections["things"] = [{"_id": stored, "n": 1}, {"_id": "x", "n": 2}]
    ((found, _, number),) = probe.fetch(spec("n", key_type=key_type), [key])
    assert (key_parser(key_type, "s")(found), number) == (key, 1)


def test_one_number_in_two_spellings_is_not_answered_for_the_other(server: MongoServer, probe: MongoDbProbe) -> None:
    server.collections["things"] = [{"_id": Decimal128("12.5")}]
    assert probe.fetch(spec(), ["12.50"]) == []
    assert len(probe.fetch(spec(), ["12.5"])) == 1


EVERY: list[Any] = [
    *(MinKey(), None, float("nan"), float("-inf"), -1, Decimal128("0.5"), 1, 2.5, Int64(2**40), Decimal128("1E+40")),
    *("", "A", "a", "é", {"a": 1}, {"a": 2}, b"z", b"ab", Binary(b"ab", 5), ObjectId("5" * 24), ObjectId("6" * 24)),
    *(
        False,
        True,
        DatetimeMS(-(2**60)),
        AT,
        DatetimeMS(2**60),
        bson.Timestamp(1, 1),
        bson.Timestamp(1, 2),
        Code("x"),
    ),
    MaxKey(),
]


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_a_listing_goes_through_every_type_of_id_once(server: MongoServer, probe: MongoDbProbe, limit: int) -> None:
    server.collections["things"] = [{"_id": value, "n": at} for at, value in enumerate(EVERY)][::-1]
    seen, after = [], None
    while True:
        page = probe.page(spec("n"), after, limit)
        seen += [row[2] for row in page.rows]
        after = page.next
        if after is None:
            break
    assert seen == list(range(len(EVERY)))


def test_a_collation_never_decides_which_keys_are_equal(server: MongoServer, probe: MongoDbProbe) -> None:
    server.collections["things"] = [{"_id": "a", "n": 1}, {"_id": "A", "n": 2}]
    server.options["things"] = {"collation": {"locale": "en", "strength": 2}}
    assert probe.fetch(spec("n"), ["a"]) == [("a", None, 1)]
    assert [row[2] for row in probe.page(spec("n"), None, 5).rows] == [2, 1]
    assert "things has a collation" in " ".join(probe.inspect(spec("n")))


def test_a_view_is_read_and_nothing_is_said_of_its_indexes(server: MongoServer, probe: MongoDbProbe) -> None:
    server.views.add("things")
    assert probe.inspect(spec("n", key="n", changed_at="at")) == ()
    assert len(probe.page(spec("n"), None, 10).rows) == 5
    assert [each.name for each in probe.collections()] == ["things"]


def test_the_primary_is_read_with_majority_and_a_secondary_only_as_the_map_says(server: MongoServer) -> None:
    reads: dict[str, Any] = {"read": "secondaryPreferred", "max_staleness": "120s", "delay_floor": "120s"}
    every: list[tuple[dict[str, Any], Any, str]] = [
        ({}, None, "majority"),
        ({"read_concern": "local"}, None, "local"),
        (reads, {"mode": "secondaryPreferred", "maxStalenessSeconds": 120}, "majority"),
    ]
    for words, preference, level in every:
        opened = MongoDbProbe(settings(server.url, **words))
        opened.fetch(spec("n", key_type="integer"), [1])
        opened.close()
        (asked,) = [each for each in server.asked if "find" in each][-1:]
        assert asked["readConcern"]["level"] == level
        told = asked.get("$readPreference")
        assert told == preference or (
            preference is None and told in (None, {"mode": "primary"}, {"mode": "primaryPreferred"})
        )
        assert 0 < asked["maxTimeMS"] <= PATIENT_S * 1000


@pytest.fixture
def members(server: MongoServer) -> Iterator[tuple[MongoServer, MongoServer]]:
    """A replica set of two members: the primary, and a secondary that is behind."""
    second = MongoServer()
    second.collections["things"] = [{"_id": 1, "n": "old"}]
    _elect(server, second)
    yield server, second
    second.close()


def _elect(primary: MongoServer, secondary: MongoServer) -> None:
    hosts = sorted(f"127.0.0.1:{each.port}" for each in (primary, secondary))
    whole = {"hosts": hosts, "primary": f"127.0.0.1:{primary.port}"}
    primary.hello = {**whole, "isWritablePrimary": True, "ismaster": True, "secondary": False}
    secondary.hello = {**whole, "isWritablePrimary": False, "ismaster": False, "secondary": True}


def test_the_primary_is_read_whoever_it_is_and_whichever_member_is_named(
    members: tuple[MongoServer, MongoServer],
) -> None:
    first, second = members
    opened = MongoDbProbe(settings(second.url))  # the URL names the one that is behind
    assert opened.fetch(spec("n", key_type="integer"), [1]) == [(1, None, 1)]
    assert not second.calls
    _elect(second, first)
    first.faults["find"] = Fault(code=10107, message="not primary")
    assert opened.fetch(spec("n", key_type="integer"), [1]) == [(1, None, "old")]
    opened.close()


def test_a_secondary_is_read_where_the_map_allows_it(members: tuple[MongoServer, MongoServer]) -> None:
    first, _ = members
    words: dict[str, Any] = {"read": "secondary", "max_staleness": "90s", "delay_floor": "90s"}
    opened = MongoDbProbe(settings(first.url, **words))
    assert opened.delay_floor_s == 90
    assert opened.fetch(spec("n", key_type="integer"), [1]) == [(1, None, "old")]
    assert abs(opened.clock().server_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert "find" not in first.calls, "its clock alone is read from the primary"
    opened.close()


def test_calls_come_from_several_threads_at_once(server: MongoServer) -> None:
    opened = MongoDbProbe(settings(server.url))
    with ThreadPoolExecutor(max_workers=6) as pool:
        asked = [pool.submit(opened.fetch, spec("n", key_type="integer"), [at % 5]) for at in range(60)]
        assert [each.result() for each in asked] == [[(at % 5, None, at % 5)] for at in range(60)]
    opened.close()


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymongo", None)
    error = fails(lambda: registry.open_record_probe(settings("mongodb://127.0.0.1/x")))
    assert "pip install 'plumbline-auditor[mongodb]'" in error.hint


def test_its_clock_is_the_primarys_own_in_milliseconds(server: MongoServer, probe: MongoDbProbe) -> None:
    server.clock_ahead_s = 3600
    sample = probe.clock()
    ahead = sample.server_at - sample.sent_at
    assert timedelta(minutes=59) < ahead < timedelta(minutes=61)
    assert sample.resolution_s == 0.001


def test_what_the_login_may_do_is_told(server: MongoServer, probe: MongoDbProbe) -> None:
    assert "anyone may write" in probe.prove_read_only(None)
    of = {"db": server.name, "collection": ""}
    server.privileges = [{"resource": of, "actions": ["find", "listIndexes"]}]
    assert probe.prove_read_only(None).endswith("looker may not write")
    server.privileges.append({"resource": of, "actions": ["insert", "remove"]})
    assert "looker may also write (insert, remove): the role read is enough" in probe.prove_read_only(None)
    server.privileges = [{"resource": {"db": "other", "collection": ""}, "actions": ["insert"]}]
    assert probe.prove_read_only(None).endswith("looker may not write")


def test_only_a_projection_of_what_is_wanted_is_asked_for(server: MongoServer, probe: MongoDbProbe) -> None:
    probe.fetch(spec("address.city", "n", changed_at="at", key="no", key_type="integer"), [1])
    (asked,) = [each for each in server.asked if "find" in each]
    assert asked["projection"] == {"_id": 1, "address.city": 1, "at": 1, "n": 1, "no": 1}
    assert set(server.calls) == {"find", "listCollections"}


def test_changes_go_on_where_an_answer_was_full(server: MongoServer, probe: MongoDbProbe) -> None:
    filler = "x" * 3_000_000
    server.collections["things"] = [{"_id": at, "at": AT, "filler": filler} for at in range(9)]
    reader = SystemReader("s", settings(server.url), probe)
    reading = reader.changed(spec("filler", changed_at="at"), AT, 100)
    assert reading.error is None
    assert [row[0] for row in reading.rows] == list(range(9))


def test_large_records_are_read_in_smaller_parts(server: MongoServer, probe: MongoDbProbe) -> None:
    filler = "x" * 3_000_000
    server.collections["things"] = [{"_id": at, "filler": filler} for at in range(9)]
    reader = SystemReader("s", settings(server.url), probe)
    reading = reader.fetch(spec("filler", key_type="integer"), list(range(9)))
    assert reading.error is None
    assert sorted(row[0] for row in reading.rows) == list(range(9))
    seen, after = [], None
    while True:
        page = probe.page(spec("filler"), after, 100)
        seen += [row[0] for row in page.rows]
        after = page.next
        if after is None:
            break
    assert seen == list(range(9))


# -- errors


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        (Fault(code=18, message="Authentication failed."), Reason.AUTH, "authSource"),
        (Fault(code=8000, message="bad auth : authentication failed"), Reason.AUTH, "bad auth"),
        (Fault(code=13, message="not authorized on shop to execute command"), Reason.PERMISSION, "the role read"),
        (Fault(code=50, message="operation exceeded time limit"), Reason.TIMEOUT, "without an index"),
        (Fault(code=26, message="ns not found"), Reason.QUERY, "ns not found"),
        (Fault(code=16500, message="too many", details={"RetryAfterMs": 7000}), Reason.OVER_BUDGET, "too many"),
        (Fault(code=13, message="line\n\x1b]0;owned\x07 two"), Reason.PERMISSION, "line ]0;owned two"),
        (Fault(code=1, message="something failed inside"), Reason.UNREACHABLE, "something failed inside"),
        (Fault(code=43, message="cursor id 5 not found"), Reason.UNREACHABLE, "not found"),
        (Fault(raw=None), Reason.UNREACHABLE, ""),
        (Fault(raw=struct.pack("<iiii", 5_000, 1, 1, 2013) + bytes(100)), Reason.DECODE, ""),
        (Fault(reply={"ok": 1.0}), Reason.DECODE, ""),
        (Fault(reply={"ok": 1.0, "cursor": {"id": 0, "ns": "shop.things"}}), Reason.DECODE, ""),
        (Fault(reply={"ok": 1.0, "cursor": [1]}), Reason.DECODE, ""),
        (Fault(raw=b"HTTP/1.1 200 OK\r\n\r\n<html>" * 10), Reason.DECODE, "not a message of MongoDB's protocol"),
    ],
    ids=lambda each: None if isinstance(each, Fault) else str(each),
)
def test_every_failure_has_a_name(server: MongoServer, fault: Fault, reason: Reason, said: str) -> None:
    opened = MongoDbProbe(settings(server.url, 5))
    opened.fetch(spec(key_type="integer"), [1])
    server.faults["find"] = fault
    error = fails(lambda: opened.fetch(spec(key_type="integer"), [1]))
    opened.close()
    assert error.reason is reason
    assert said in str(error)
    assert "\n" not in str(error)
    assert error.retry_after_s == (7.0 if reason is Reason.OVER_BUDGET else None)


@pytest.mark.parametrize("form", ["cAnary4711/s@cret", "cAnary4711%2Fs%40cret", "Y0FuYXJ5NDcxMS9zQGNyZXQ"])
def test_a_password_that_a_server_repeats_is_not_told(server: MongoServer, form: str) -> None:
    server.faults["saslStart"] = Fault(code=18, message=f"Authentication failed for looker with {form}")
    url = server.url.replace("://", "://looker:cAnary4711%2Fs%40cret@") + "&authMechanism=SCRAM-SHA-256"
    opened = MongoDbProbe(settings(url))
    error = fails(lambda: opened.fetch(spec(), ["1"]))
    opened.close()
    assert error.reason is Reason.AUTH
    assert "Authentication failed for looker" in str(error)
    assert form not in str(error)


def test_a_login_revoked_meanwhile_ends_the_reading_and_nothing_partial_counts(
    server: MongoServer, probe: MongoDbProbe
) -> None:
    server.collections["things"] = [{"_id": at} for at in range(20_000)]
    server.faults["getMore"] = Fault(code=13, message="not authorized on shop")
    error = fails(
        lambda: (
            probe.fetch(spec(key="none", key_type="integer"), [1])
            or probe._session.documents("things", {}, None, {}, None, all_batches=True)
        )
    )
    assert error.reason is Reason.PERMISSION


def test_a_member_that_steps_down_is_asked_once_more(server: MongoServer, probe: MongoDbProbe) -> None:
    probe.fetch(spec(key_type="integer"), [1])
    server.faults["find"] = [Fault(code=10107, message="not primary")]
    assert len(probe.fetch(spec(key_type="integer"), [1])) == 1


def test_a_login_that_may_not_list_collections_is_enough(server: MongoServer, probe: MongoDbProbe) -> None:
    server.faults["listCollections"] = Fault(code=13, message="not authorized")
    server.faults["listIndexes"] = Fault(code=13, message="not authorized")
    assert len(probe.fetch(spec("n", key_type="integer"), [1, 2])) == 2
    told = " ".join(probe.inspect(spec("n")))
    assert "may not list collections" in told
    assert "may not see whether its fields have an index" in told


def test_of_a_collection_that_is_gone_nothing_follows_about_its_records(
    server: MongoServer, probe: MongoDbProbe
) -> None:  # P: MongoDB answers a misspelt or renamed collection with nothing, and no error
    asked = spec("n", changed_at="at", key_type="integer")
    assert len(probe.fetch(asked, [1])) == 1
    begun = probe.page(asked, None, 2).next
    server.collections["things_v2"] = server.collections.pop("things")
    for call in (
        lambda: probe.fetch(asked, [1]),
        lambda: probe.page(asked, None, 10),
        lambda: probe.page(asked, begun, 10),
        lambda: probe.changed(asked, AT, 10),
    ):
        error = fails(call)
        assert error.reason is Reason.QUERY
        assert "no collection named 'things' in shop; did you mean 'things_v2'?" in error.message
    server.collections["things"] = []
    assert probe.fetch(asked, [1]) == []
    assert probe.page(asked, None, 10).rows == []


def test_of_a_view_of_a_collection_that_is_gone_nothing_follows_either(
    server: MongoServer, probe: MongoDbProbe
) -> None:
    server.collections["stored"] = []
    server.views.add("things")
    server.options["things"] = {"viewOn": "stored"}
    server.collections["things"] = []
    assert probe.fetch(spec(key_type="integer"), [1]) == []
    del server.collections["stored"]
    for call in (
        lambda: probe.fetch(spec(key_type="integer"), [1]),
        lambda: probe.page(spec(), None, 10),
        lambda: probe.inspect(spec()),
    ):
        error = fails(call)
        assert error.reason is Reason.QUERY
        assert "no collection named 'stored' in shop" in error.message


def test_a_page_that_comes_again_is_noticed(server: MongoServer, probe: MongoDbProbe) -> None:
    first = probe.page(spec(), None, 2)
    again = {"ok": 1.0, "cursor": {"id": Int64(0), "ns": "shop.things", "firstBatch": [{"_id": 0}, {"_id": 1}]}}
    server.faults["find"] = Fault(reply=again)
    error = fails(lambda: probe.page(spec(), first.next, 2))
    assert error.reason is Reason.DECODE
    assert "out of the order of _id" in str(error)


def test_a_hung_server_is_left_at_the_deadline(server: MongoServer) -> None:
    opened = MongoDbProbe(settings(server.url, 1))
    opened.fetch(spec(key_type="integer"), [1])
    server.faults["find"] = Fault(hang=True)
    error = fails(lambda: opened.fetch(spec(key_type="integer"), [1]))
    opened.close()
    assert error.reason is Reason.TIMEOUT


# -- answers that never end, or are larger than they should be


def reply(name: str, documents: bytes, cursor: int = 0) -> bytes:
    """A message whose batch is these bytes, whatever they are."""
    batch = struct.pack("<i", len(documents) + 5) + documents + b"\0"
    inner = (
        b"\x04"
        + name.encode()
        + b"\0"
        + batch
        + b"\x12id\0"
        + struct.pack("<q", cursor)
        + b"\x02ns\0"
        + (struct.pack("<i", 12) + b"shop.things\0")
    )
    inner = struct.pack("<i", len(inner) + 5) + inner + b"\0"
    whole = b"\x03cursor\0" + inner + b"\x01ok\0" + struct.pack("<d", 1.0)
    return struct.pack("<i", len(whole) + 5) + whole + b"\0"


class Liar(MongoServer):
    """Answers `find` and `getMore` with bytes of the test's own, under the right number."""

    batch: bytes = b""
    endless = False

    def _answer(self, taken: Any, command: dict[str, Any], identity: int, kind: int) -> bool:
        name = next(iter(command))
        if name not in {"find", "getMore"}:
            return super()._answer(taken, command, identity, kind)
        document = reply("firstBatch" if name == "find" else "nextBatch", self.batch, 7 if self.endless else 0)
        body = struct.pack("<I", 0) + b"\0" + document
        taken.sendall(struct.pack("<iiii", 16 + len(body), 1, identity, 2013) + body)
        return True


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    made.collections["things"] = []
    yield made
    made.close()


def element(document: bytes, at: int = 0) -> bytes:
    return b"\x03" + str(at).encode() + b"\0" + document


def many_nulls(count: int) -> bytes:
    inner = b"\x0aa\0" * count
    return struct.pack("<i", len(inner) + 5) + inner + b"\0"


def deep(levels: int) -> bytes:
    """Documents in documents, each under the name `a`; a level takes eight bytes."""
    begun = b"".join(struct.pack("<i", 5 + 8 * level) + b"\x03a\0" for level in range(levels, 0, -1))
    return begun + b"\x05\0\0\0\0" + b"\0" * levels


LIES: dict[str, tuple[bytes, Reason]] = {
    "a document longer than its answer": (element(struct.pack("<i", 10_000) + b"\0"), Reason.DECODE),
    "a document of -1 bytes": (element(struct.pack("<i", -1) + b"\0"), Reason.DECODE),
    "no BSON": (element(struct.pack("<i", 9) + b"\x77a\0x\0"), Reason.DECODE),
    "a million values": (element(many_nulls(1_000_000)), Reason.TOO_LARGE),
    "nested 100,000 deep": (element(deep(100_000)), Reason.DECODE),
    "a record without _id": (element(bson.encode({"n": 1})), Reason.DECODE),
}


@pytest.mark.parametrize("name", LIES)
def test_an_answer_that_is_no_list_of_records_is_a_named_error(liar: Liar, name: str) -> None:
    liar.batch, reason = LIES[name]
    opened = MongoDbProbe(settings(liar.url))
    error = fails(lambda: opened.page(spec("n"), None, 10))
    opened.close()
    assert error.reason is reason, error


def test_an_answer_without_end_is_ended_by_its_deadline(liar: Liar) -> None:
    liar.endless = True
    opened = MongoDbProbe(settings(liar.url, 1.5))
    begun = time.monotonic()
    error = fails(lambda: opened.fetch(spec(key_type="integer"), [1]))
    opened.close()
    assert error.reason is Reason.TIMEOUT
    assert time.monotonic() - begun >= 1


def test_text_that_is_no_utf8_spoils_nothing_else(liar: Liar) -> None:
    document = bson.encode({"_id": 1, "n": "abc", "other": "fine"}).replace(b"abc", b"a\xffc")
    liar.batch = element(document)
    opened = MongoDbProbe(settings(liar.url))
    ((key, _, n, other),) = opened.fetch(spec("n", "other", key_type="integer"), [1])
    opened.close()
    assert (key, other) == (1, "fine")
    assert isinstance(n, Undecodable)
    assert "not UTF-8" in n.reason


def test_a_greeting_cannot_raise_the_limits(server: MongoServer) -> None:
    server.hello = {"maxMessageSizeBytes": 2**31 - 1, "maxBsonObjectSize": 2**31 - 1}
    opened = MongoDbProbe(settings(server.url, 5))
    assert len(opened.fetch(spec(key_type="integer"), [1])) == 1
    server.faults["find"] = Fault(raw=struct.pack("<iiii", 2**31 - 1, 1, 1, 2013) + bytes(1000), again=True)
    tracemalloc.start()
    try:
        error = fails(lambda: opened.fetch(spec(key_type="integer"), [1]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        opened.close()
    assert error.reason in {Reason.DECODE, Reason.TOO_LARGE, Reason.UNREACHABLE}
    assert peak < 50_000_000


@pytest.mark.parametrize("name", [*ANY, *MONGODB])
def test_whatever_a_server_says_the_call_ends_with_one_named_error(name: str) -> None:
    wire: Wire = {**ANY, **MONGODB}[name]
    hostile = WireServer(wire, asked_first=False)
    url = f"mongodb://looker:cAnary4711secret@127.0.0.1:{hostile.port}/x"
    opened = registry.open_record_probe(settings(url, 1.0))
    tracemalloc.start()
    try:
        error = fails(lambda: opened.fetch(spec(key_type="integer"), [1]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        opened.close()
        hostile.close()
    assert "cAnary" not in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 600
    assert peak < 100_000_000


# -- names and certificates


@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
def test_a_host_that_does_not_exist_is_unreachable_and_not_slow(scheme: str) -> None:
    opened = MongoDbProbe(settings(f"{scheme}://no-such-host.invalid/x", 2))
    error = fails(lambda: opened.fetch(spec(), ["1"]))
    opened.close()
    assert error.reason is Reason.UNREACHABLE
    assert "no-such-host.invalid" in str(error)
    assert "Errno" not in str(error)
    assert error.hint == WHERE_IT_RUNS


def test_where_nothing_listens_a_sentence_says_so_and_what_to_check() -> None:
    opened = MongoDbProbe(settings(f"mongodb://127.0.0.1:{free_port()}/x", 2))
    error = fails(lambda: opened.fetch(spec(), ["1"]))
    opened.close()
    assert error.reason is Reason.UNREACHABLE
    assert error.message.endswith("Connection refused")
    assert error.hint == WHERE_IT_RUNS


def test_who_refuses_connections_is_not_asked_until_the_deadline() -> None:
    opened = MongoDbProbe(settings(f"mongodb://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/x", 300))
    failed: list[ProbeError] = []
    asking = Thread(target=lambda: failed.append(fails(lambda: opened.fetch(spec(), ["1"]))), daemon=True)
    asking.start()
    wait_until(lambda: failed)  # five times sooner than the deadline
    opened.close()
    assert failed[0].reason is Reason.UNREACHABLE


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of its own for 127.0.0.1, with its key in the same file."""
    made = tmp_path / "server.pem"
    words = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(made), "-out", str(tmp_path / "cert.pem"), "-days", "30"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *words, *name], check=True, capture_output=True)
    made.write_bytes(made.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return made


def test_tls_is_spoken_with_a_certificate_that_the_map_names_and_with_no_other(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = MongoServer(tls=context)
    server.collections["things"] = [{"_id": 1, "n": 1}]
    try:
        trusted = MongoDbProbe(settings(f"{server.url}&tls=true&tlsCAFile={certificate.parent}/cert.pem"))
        assert trusted.fetch(spec("n", key_type="integer"), [1]) == [(1, None, 1)]
        trusted.close()
        strange = MongoDbProbe(settings(f"{server.url}&tls=true", 2))
        error = fails(lambda: strange.fetch(spec("n", key_type="integer"), [1]))
        strange.close()
        assert error.reason is Reason.UNREACHABLE
        assert "tlsCAFile" in error.hint
        plain = MongoDbProbe(settings(server.url, 2))
        assert fails(lambda: plain.fetch(spec(), ["1"])).reason in {Reason.UNREACHABLE, Reason.TIMEOUT}
        plain.close()
    finally:
        server.close()
