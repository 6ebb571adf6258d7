"""Keys of several fields in MongoDB, against FerretDB: exact lookups of every type, whole keys in every list."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, ObjectId
from pymongo.database import Database

from checks.keys import composite_parser
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
