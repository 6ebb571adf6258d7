"""The MongoDB probe against FerretDB: every type of value and key, listings, stamps, names of errors."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Binary, Int64, ObjectId, Regex, Timestamp
from pydantic import ValidationError
from pymongo import MongoClient
from pymongo.database import Database

from auditor.systems.reader import SystemReader
from checks.keys import key_parser
from checks.values import UnreadableError
from probes.contract import MISSING, ProbeError, ReadSpec, Reason, StampsError
from probes.exact_json import Undecodable
from probes.records.mongodb.changes import STRAYS_CEILING
from probes.records.mongodb.documents import find, projection
from probes.records.mongodb.order import LAST, ORDER, behind
from probes.records.mongodb.probe import MongoDbProbe
from probes.records.mongodb.settings import MongoDbBinding, MongoDbSettings

SECRET = "secret-of-t"
AT = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
OBJECT_ID = ObjectId("507f1f77bcf86cd799439011")


def settings(url: str, **words: Any) -> MongoDbSettings:
    return MongoDbSettings.model_validate({"kind": "mongodb", "url": url, "budget": {"timeout": 20}, **words})


def spec(*fields: str, key: str = "_id", collection: str = "things", **words: Any) -> ReadSpec:
    return ReadSpec(
        data_type="thing",
        collection=collection,
        key=key,
        changed_at=words.pop("changed_at", None),
        fields=fields,
        **words,
    )


@pytest.fixture
def shop(ferretdb_url: str) -> Iterator[Database[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(ferretdb_url)
    name = f"t{uuid.uuid4().hex[:12]}"
    yield client[name]
    client.drop_database(name)
    client.close()


@pytest.fixture
def address(ferretdb_url: str, shop: Database[dict[str, Any]]) -> str:
    return ferretdb_url.replace("/?", f"/{shop.name}?authSource=admin&")


@pytest.fixture
def probe(address: str) -> Iterator[MongoDbProbe]:
    opened = MongoDbProbe(settings(address))
    yield opened
    opened.close()


VALUES: list[tuple[Any, Any]] = [
    ("text ναι", "text ναι"),
    ("", ""),
    (None, None),
    (7, 7),
    (Int64(2**53 + 1), 2**53 + 1),
    (0.1, 0.1),
    (True, True),
    (AT, AT),
    (
        datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    ),
    (OBJECT_ID, str(OBJECT_ID)),
    (Binary.from_uuid(UUID), UUID),
    (b"\x00\xff", b"\x00\xff"),
    (Timestamp(1_772_366_400, 3), datetime(2026, 3, 1, 12, tzinfo=UTC)),
    ([1, "a", OBJECT_ID, AT], [1, "a", str(OBJECT_ID), "2026-03-01T12:00:00.123Z"]),
    ({"city": "Bonn", "at": AT}, {"city": "Bonn", "at": "2026-03-01T12:00:00.123Z"}),
]


@pytest.mark.parametrize(("stored", "read"), VALUES, ids=[type(stored).__name__ for stored, _ in VALUES])
def test_every_type_of_value_comes_back_as_what_it_means(
    shop: Database[dict[str, Any]], probe: MongoDbProbe, stored: Any, read: Any
) -> None:
    shop.things.insert_one({"_id": 1, "value": stored})
    assert probe.fetch(spec("value", key_type="integer"), [1]) == [(1, None, read)]


def test_what_no_other_system_has_is_undecodable_and_named(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    shop.things.insert_one({"_id": 1, "value": Regex("a"), "old": Binary(UUID.bytes, 3)})
    ((_, _, value, old),) = probe.fetch(spec("value", "old", key_type="integer"), [1])
    assert isinstance(value, Undecodable)
    assert "regular expression" in value.reason
    assert isinstance(old, Undecodable)
    assert "uuid: in the map" in old.reason


@pytest.mark.parametrize("order", ["java_legacy", "csharp_legacy", "python_legacy"])
def test_uuids_of_old_drivers_are_read_and_found_in_the_order_that_the_map_says(
    shop: Database[dict[str, Any]], address: str, order: str
) -> None:
    from probes.records.mongodb.documents import LEGACY

    shop.things.insert_one({"_id": Binary.from_uuid(UUID, LEGACY[order]), "n": 1})
    opened = MongoDbProbe(settings(address, uuid=order))
    assert opened.fetch(spec("n", key_type="uuid"), [str(UUID)]) == [(UUID, None, 1)]
    opened.close()


def test_missing_is_told_from_null_and_from_empty(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:  # P: missing and null are two things
    shop.things.insert_many([{"_id": 1}, {"_id": 2, "value": None}, {"_id": 3, "value": ""}])
    rows = sorted(probe.fetch(spec("value", key_type="integer"), [1, 2, 3]), key=lambda row: int(row[0]))
    assert [row[2] for row in rows] == [MISSING, None, ""]


def test_paths_lead_into_documents_and_through_arrays(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    shop.things.insert_one(
        {"_id": 1, "address": {"city": "Bonn", "zip": None}, "lines": [{"sku": "a"}, {"sku": "b"}, {"other": 1}]}
    )
    paths = ("address.city", "address.zip", "address.street", "lines.sku", "lines.0.sku", "lines.9.sku", "lines.none")
    ((_, _, *values),) = probe.fetch(spec(*paths, key_type="integer"), [1])
    assert values == ["Bonn", None, MISSING, ["a", "b"], "a", MISSING, MISSING]


@pytest.mark.parametrize(
    ("key_type", "stored", "key"),
    [
        ("string", OBJECT_ID, str(OBJECT_ID)),
        ("string", str(OBJECT_ID), str(OBJECT_ID)),
        ("string", "cus_1", "cus_1"),
        ("string", 12, "12"),
        ("string", 12.0, "12"),
        ("string", Int64(2**40), str(2**40)),
        ("string", "é", "é"),
        ("string", "e\u0301", "é"),
        ("string", Binary.from_uuid(UUID), str(UUID)),
        ("integer", 12, 12),
        ("integer", Int64(12), 12),
        ("integer", 12.0, 12),
        ("integer", "12", 12),
        ("uuid", Binary.from_uuid(UUID), str(UUID)),
        ("uuid", str(UUID), str(UUID)),
        ("uuid", str(UUID).upper(), str(UUID)),
        ("uuid", UUID.hex, str(UUID)),
        ("salesforce_id", "0015g00000abcdE", "0015g00000abcdEAAQ"),
    ],
)
def test_a_key_is_found_in_whatever_type_it_is_kept(
    shop: Database[dict[str, Any]], probe: MongoDbProbe, key_type: str, stored: Any, key: Any
) -> None:  # P: keys of every type, one canonical form
    shop.things.insert_many([{"_id": stored, "n": 1}, {"_id": "another", "n": 2}])
    ((found, _, number),) = probe.fetch(spec("n", key_type=key_type), [key])
    assert (key_parser(key_type, "s")(found), number) == (key, 1)


def test_one_key_in_two_types_is_a_duplicate_and_not_overwritten(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:  # P: duplicate canonical keys within a system
    shop.things.insert_many([{"_id": 12, "n": 1}, {"_id": "12", "n": 2}])
    rows = probe.fetch(spec("n"), ["12"])
    assert {(key_parser("string", "s")(row[0]), row[2]) for row in rows} == {("12", 1), ("12", 2)}


def test_a_key_that_is_a_document_is_refused_by_name_and_its_field_is_one(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    shop.things.insert_one({"_id": {"number": 7, "year": 2026}, "n": 1})
    ((key, _, _),) = probe.page(spec("n"), None, 10).rows
    with pytest.raises(UnreadableError, match="a key that is a document; name the field"):
        key_parser("string", "s")(key)
    inner = spec("n", key="_id.number", key_type="integer")
    assert probe.fetch(inner, [7]) == [(7, None, 1)]
    assert probe.page(inner, None, 10).rows == [(7, None, 1)]


IDS: list[Any] = [
    *(None, -5, 0.5, 1, Int64(2**40), "", "a", "b", {"a": 1}, {"a": 2}, b"abc", Binary.from_uuid(UUID)),
    *(OBJECT_ID, False, True, AT, AT + timedelta(days=1), Timestamp(1, 2), Timestamp(1, 3)),
]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_a_listing_goes_through_ids_of_all_types_once(
    shop: Database[dict[str, Any]], probe: MongoDbProbe, limit: int
) -> None:  # P: type bracketing in range queries skips documents
    shop.things.insert_many([{"_id": value, "n": at} for at, value in enumerate(IDS)])
    seen: list[int] = []
    after = None
    while True:
        page = probe.page(spec("n"), after, limit)
        assert len(page.rows) <= limit
        seen += [row[2] for row in page.rows]
        after = page.next
        assert page.more == (after is not None)
        if after is None:
            break
    assert seen == list(range(len(IDS)))


def test_a_listing_is_not_disturbed_by_what_is_written_meanwhile(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    shop.things.insert_many([{"_id": at} for at in range(0, 100, 2)])
    first = probe.page(spec(), None, 20)
    shop.things.delete_many({"_id": {"$lte": 38}})
    shop.things.insert_many([{"_id": 1}, {"_id": 41}, {"_id": "z"}])
    rest = probe.page(spec(), first.next, 100)
    assert [row[0] for row in rest.rows] == [40, 41, *range(42, 100, 2), "z"]


def test_records_without_the_key_or_with_several_are_told(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    shop.things.insert_many([{"_id": 1}, {"_id": 2, "no": None}, {"_id": 3, "no": [1, 2]}, {"_id": 4, "no": 9}])
    keys = [row[0] for row in probe.page(spec(key="no"), None, 10).rows]
    assert (keys[:2], keys[3]) == ([None, None], 9)
    assert isinstance(keys[2], Undecodable)
    assert "a key that is an array" in keys[2].reason


@pytest.mark.parametrize("text", ["17", "{}", '{"bson": "zz"}', '{"bson": "0500000000"}', "[1]", "null"])
def test_a_cursor_that_it_did_not_write_is_lost(probe: MongoDbProbe, text: str) -> None:
    with pytest.raises(ProbeError) as caught:
        probe.page(spec(), text, 3)
    assert caught.value.reason is Reason.CURSOR_LOST


def changes(probe: MongoDbProbe, asked: ReadSpec, since: Any, limit: int = 100) -> list[Any]:
    return [row[0] for row in probe.changed(asked, since, limit).rows]


def test_changes_are_found_by_dates_and_stamps_of_other_types_are_never_passed_over(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:  # P: a comparison finds values of one type alone
    shop.things.insert_many(
        [
            {"_id": "old", "at": AT - timedelta(hours=1)},
            {"_id": "same", "at": AT},
            {"_id": "new", "at": AT + timedelta(seconds=5)},
            {"_id": "text", "at": "2026-03-01T12:00:09Z"},
            {"_id": "old text", "at": "2026-03-01T11:00:09Z"},
            {"_id": "odd", "at": "yesterday"},
            {"_id": "number", "at": 5},
            {"_id": "null", "at": None},
            {"_id": "missing"},
            {"_id": "array", "at": ["soon"]},
        ]
    )
    asked = spec(changed_at="at")
    assert changes(probe, asked, AT)[-2:] == ["same", "new"]
    assert set(changes(probe, asked, AT)) == {"same", "new", "text", "odd", "number", "array"}
    assert "old" in changes(probe, asked, None)


def test_stamps_that_are_numbers_or_timestamps_are_asked_for_as_such(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    seconds = int(AT.timestamp())
    shop.things.insert_many([{"_id": at, "s": seconds + at, "ts": Timestamp(seconds + at, 1)} for at in range(-2, 3)])
    assert changes(probe, spec(changed_at="s", changed_at_unit="s"), AT) == [0, 1, 2]
    assert changes(probe, spec(changed_at="ts"), AT) == [0, 1, 2]
    assert changes(probe, spec(version="s"), seconds + 1) == [1, 2]
    assert probe.highest_version(spec(version="s")) == seconds + 2
    with pytest.raises(ProbeError, match="changed_at_unit"):
        probe.changed(spec(changed_at="s"), AT, 10)


def test_too_many_stamps_of_another_type_leave_the_sweep_alone(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    shop.things.insert_many([{"_id": at, "at": "2026-03-01T12:00:09Z"} for at in range(STRAYS_CEILING + 1)])
    with pytest.raises(StampsError, match="that are not dates"):
        probe.changed(spec(changed_at="at"), AT, 10)


def test_changes_go_on_behind_a_record_where_an_answer_is_full(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    filler = "x" * 3_000_000
    shop.things.insert_many([{"_id": at, "at": AT, "filler": filler} for at in range(9)])
    reader = SystemReader("s", settings("mongodb://127.0.0.1/x"), probe)
    reading = reader.changed(spec("filler", changed_at="at"), AT, 100)
    told = [row[0] for row in reading.rows]
    assert reading.error is None or reading.error.reason is Reason.TOO_LARGE
    assert told in ([], list(range(9)))


def test_wrong_names_are_told_with_the_nearest_known_one(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    shop.things.insert_one({"_id": 1, "name": "x", "address": {"city": "Bonn"}})
    with pytest.raises(ProbeError, match="did you mean 'things'"):
        probe.inspect(spec(collection="thing"))
    with pytest.raises(ProbeError, match=r"did you mean 'address\.city'"):
        probe.inspect(spec("adress.city"))
    shop.rare.insert_many([{"_id": at} for at in range(150)])
    shop.rare.insert_one({"_id": 999, "seldom": 1})
    assert probe.inspect(spec("seldom", collection="rare")) == ()


def test_a_mark_of_deleted_records_that_none_has_is_a_remark(
    shop: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    shop.things.insert_one({"_id": 1, "archived_at": AT})
    told = " ".join(probe.inspect(spec("archived", deleted="archived")))
    assert "no record of things has archived" in told
    assert "did you mean 'archived_at'" in told


def test_what_has_no_index_is_remarked(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    shop.things.insert_one({"_id": 1, "no": 1, "at": AT})
    told = " ".join(probe.inspect(spec(key="no", changed_at="at")))
    assert "things.no has no index" in told
    assert "things.at has no index" in told
    shop.things.create_index("no")
    shop.things.create_index("at")
    shop.things.insert_one({"_id": 2, "no": 2})
    told = " ".join(probe.inspect(spec(key="no", changed_at="at")))
    assert "index" not in told
    assert "things.at is null or missing in some records" in told


def test_a_wrong_login_is_one_named_error_without_the_password(address: str) -> None:
    opened = MongoDbProbe(settings(address.replace(SECRET, "wrong-secret")))
    with pytest.raises(ProbeError) as caught:
        opened.fetch(spec(), ["1"])
    assert caught.value.reason is Reason.AUTH
    assert "wrong-secret" not in str(caught.value)
    opened.close()


def test_what_it_holds_is_told_by_its_first_records(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    shop.customers.insert_many(
        [
            {"_id": ObjectId(), "no": 1, "mail": "a@b", "address": {"city": "Bonn"}, "tags": [], "n": 1},
            {"_id": ObjectId(), "no": 2, "mail": None, "at": AT, "n": 1.5, "ref": Binary.from_uuid(UUID)},
        ]
    )
    shop.customers.create_index("no", unique=True)
    shop.customers.create_index([("ref", 1), ("no", 1)], unique=True)
    (found,) = probe.collections()
    assert found.key == ("ref", "no")
    told = {field.name: (field.type, field.described, field.unique) for field in found.fields}
    assert told == {
        "_id": ("string", "objectId", True),
        "no": ("integer", "int", True),
        "mail": ("string", "string", False),
        "address.city": ("string", "string", False),
        "tags": ("array", "array", False),
        "n": ("float", "double or int", False),
        "at": ("timestamp", "date", False),
        "ref": ("uuid", "UUID", False),
    }


def test_it_sends_nothing_but_commands_that_read(probe: MongoDbProbe) -> None:
    assert probe.prove_read_only(None).startswith("only commands that read are ever sent; what else t may do")
    for command in (
        "insert",
        "update",
        "delete",
        "findAndModify",
        "aggregate",
        "mapReduce",
        "createIndexes",
        "drop",
        "eval",
    ):
        with pytest.raises(ProbeError, match=f"refused to send '{command}'"), probe._session.running():
            probe._session.database.command({command: "things"})


def test_calls_after_the_end_are_errors(probe: MongoDbProbe) -> None:
    probe.close()
    with pytest.raises(ProbeError):
        probe.fetch(spec(), ["1"])


# -- settings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"url": "postgresql://127.0.0.1/x"}, "not a MongoDB URL"),
        ({"url": "mongodb://127.0.0.1"}, "name the database"),
        ({"url": "mongodb://u:p@ss@127.0.0.1/x"}, "percent-encoded"),
        ({"url": "mongodb://127.0.0.1/x?readPreference=secondary"}, "set it in the map, as read:"),
        ({"url": "mongodb://127.0.0.1/x?socketTimeoutMS=5"}, "budget: timeout:"),
        (
            {"url": "mongodb://127.0.0.1/x?autSource=x"},
            "unknown option autSource in the URL; did you mean 'authSource'",
        ),
        ({"url": "mongodb://127.0.0.1/x?authMechanism=GSSAPI"}, "GSSAPI is not supported"),
        ({"url": "mongodb://u:p@127.0.0.1/x?authMechanism=PLAIN"}, "add tls=true"),
        ({"read": "secondary"}, "set max_staleness, at least 90s"),
        ({"read": "secondary", "max_staleness": "120s"}, "set delay_floor"),
        ({"max_staleness": "120s"}, "read: is primary"),
        ({"database": "a/b"}, "pattern"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        settings(**{"url": "mongodb://127.0.0.1/x", **words})
    assert "p@ss" not in caught.value.errors()[0]["msg"]


def test_a_url_as_people_copy_it_is_taken() -> None:
    url = "mongodb+srv://u:p@cluster0.example.net/?retryWrites=true&w=majority&appName=Cluster0"
    assert settings(url, database="shop").database_name == "shop"
    told = settings("mongodb://127.0.0.1/x", read="secondary", max_staleness="90s", delay_floor="2m")
    assert told.delay_floor_s == 120


@pytest.mark.parametrize("words", [{"collection": "system.users"}, {"key": "a..b"}, {"fields": {"n": "$where"}}])
def test_bindings_that_lead_nowhere_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MongoDbBinding.model_validate({"collection": "things", "key": "_id", **words})


# -- documents


def test_a_projection_never_asks_for_a_path_within_another() -> None:
    assert projection(["a.b", "a", "c.0.d", "_id.x", "b.c"]) == {"_id": 1, "a": 1, "b.c": 1, "c": 1}


def test_the_order_of_types_is_whole() -> None:
    every = [number for types in (*ORDER, *LAST) for number in types]
    assert len(every) == len(set(every)) == 21
    same, later = behind("_id", float("nan"))
    assert same == {"_id": {"$gte": float("-inf")}}
    assert 2 in later["_id"]["$type"]
    assert 1 not in later["_id"]["$type"]


def test_a_path_ends_where_a_value_does() -> None:
    assert find({"a": 1}, "a.b") is MISSING
    assert find({"a": [[{"b": 1}]]}, "a.b") is MISSING
    assert find({"a": {"0": "x"}}, "a.0") == "x"
