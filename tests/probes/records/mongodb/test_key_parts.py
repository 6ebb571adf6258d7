"""Keys of several fields in MongoDB, against FerretDB: exact lookups of every type, whole keys in every list."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, ObjectId
from pymongo.database import Database

from checks.keys import composite_parser, requested
from probes.composite_keys import joined
from probes.contract import ReadSpec
from probes.records.mongodb.probe import MongoDbProbe
from probes.records.mongodb.settings import MongoDbBinding
from tests.probes.records.mongodb.test_probe import address, probe, shop

__all__ = ["address", "probe", "shop"]

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
OBJECT_ID = ObjectId("507f1f77bcf86cd799439011")


def spec(*key: str) -> ReadSpec:
    words = {"collection": "lines", "key": list(key), "changed_at": "at"}
    return MongoDbBinding.model_validate(words).spec("line", ["name"], zone=None)


def keys(rows: Any, *types: str) -> list[str]:
    parse = composite_parser(types, "shop")
    return sorted(parse(row[0]) for row in rows)


@pytest.fixture
def lines(shop: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    shop["lines"].insert_many(
        [{"t": tenant, "c": code, "name": "n", "at": AT} for tenant in (1, 2, 30) for code in ("a", "b/c", "100%")]
    )
    return shop


def test_a_lookup_finds_the_keys_asked_for_and_none_of_their_mixtures(lines: Any, probe: MongoDbProbe) -> None:
    wanted = [joined(each) for each in [(1, "a"), (2, "b/c"), (30, "100%"), (99, "a"), (1, "nothing")]]
    assert keys(probe.fetch(spec("t", "c"), wanted), "integer", "string") == sorted(wanted[:3])


@pytest.mark.parametrize(
    ("held", "type_"),
    [
        (7, "integer"),
        (7.0, "integer"),
        ("7", "string"),
        (UUID, "uuid"),
        (str(UUID).upper(), "uuid"),
        (OBJECT_ID, "string"),
        ("001000000000001AAA", "salesforce_id"),
        ("001000000000001", "salesforce_id"),
    ],
)
def test_a_part_of_any_type_is_found_by_its_text(
    lines: Database[dict[str, Any]], probe: MongoDbProbe, held: Any, type_: str
) -> None:
    stored = Binary.from_uuid(held) if isinstance(held, uuid.UUID) else held
    lines["lines"].insert_one({"t": 50, "c": stored, "name": "n", "at": AT})
    key = composite_parser(["integer", type_], "shop")((50, str(held) if not isinstance(held, float) else int(held)))
    assert keys(probe.fetch(spec("t", "c"), [key]), "integer", type_) == [key]


def test_the_parts_of_an_id_are_a_key(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    shop["lines"].insert_many([{"_id": {"t": t, "n": n}, "name": "n", "at": AT} for t in (1, 2) for n in (8, 9)])
    assert keys(probe.fetch(spec("_id.t", "_id.n"), ["1/8", "2/9"]), "integer", "integer") == ["1/8", "2/9"]


def test_lists_carry_whole_keys_and_records_without_a_part(
    lines: Database[dict[str, Any]], probe: MongoDbProbe
) -> None:
    lines["lines"].insert_one({"t": 1, "name": "no code", "at": AT})
    found = []
    page = probe.page(spec("t", "c"), None, 4)
    while True:
        found += [row[0] for row in page.rows]
        if page.next is None:
            break
        page = probe.page(spec("t", "c"), page.next, 4)
    assert len(found) == 10
    assert (1, None) in found
    assert len(probe.changed(spec("t", "c"), AT, 100).rows) == 10
    assert not any("c has no index" in remark for remark in probe.inspect(spec("t", "c")))


def test_parts_are_found_in_every_writing(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    shop["lines"].insert_many(
        [
            *(
                {"t": 1, "c": each, "p": "030 123456", "name": "n", "at": AT}
                for each in ("Ann@X.de", "ANN@x.de", "a.c", "abc")
            ),
            {"t": 2, "c": "ann@x.de", "p": "(030) 123-456"},
            {"t": 2, "c": "MÜLLER", "p": "040 123456"},
            {"t": 2, "c": "strasse", "p": "030 123456 ext. 5"},
        ]
    )

    def found(place: ReadSpec, *wanted: str) -> list[Any]:
        rows = probe.fetch(place, list(wanted))
        return sorted(row[0] for row in requested(place.key_types, wanted, rows, place.key_region))

    mails = replace(spec("t", "c"), part_types=("integer", "caseless"))
    assert found(mails, "1/ann@x.de") == [(1, "ANN@x.de"), (1, "Ann@X.de")]
    assert found(mails, "2/ann@x.de", "2/müller", "1/a.c") == [(1, "a.c"), (2, "MÜLLER"), (2, "ann@x.de")]
    assert found(mails, "2/straße") == []
    assert [row[0] for row in probe.fetch(replace(mails, mistaken=True), ["2/straße"])] == [(2, "strasse")]
    phones = replace(spec("c", "p"), part_types=("caseless", "phone"), key_region="DE")
    assert found(phones, "ann@x.de/+4930123456", "müller/+4930123456") == [
        *(("ANN@x.de", "030 123456"), ("Ann@X.de", "030 123456"), ("ann@x.de", "(030) 123-456")),
    ]
    odd = probe.fetch(replace(phones, mistaken=True), ["strasse/+4930123456"])
    assert [row[0] for row in odd] == [("strasse", "030 123456 ext. 5")]
    assert any("c: every read by key compares all keys" in each for each in probe.inspect(phones))
    shop["lines"].create_index("t")
    assert not any("compares all keys" in each or ".t has no index" in each for each in probe.inspect(mails))
