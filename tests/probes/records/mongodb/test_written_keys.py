"""Keys that FerretDB holds in several writings: each is found, in any case and as phone numbers."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

from pymongo.database import Database

from checks.keys import key_parser
from probes.letter_case import folded
from probes.records.mongodb.probe import MongoDbProbe
from tests.probes.records.mongodb.test_probe import OBJECT_ID, address, probe, shop, spec

__all__ = ["address", "probe", "shop"]

WRITTEN = [
    *("ann@example.com", "Ann@Example.com", "istanbul", "ISTANBUL", "ıstanbul", "İSTANBUL", "strasse", "STRASSE"),
    *("straße", "STRAẞE", "rené", "RENÉ", unicodedata.normalize("NFD", "RENÉ"), "rene", "ΟΔΟΣ", "οδος", "Жук", "жук"),
    *(
        "it's",
        "IT'S",
        "a.c",
        "A.C",
        "abc",
        "a\\b",
        "A\\B",
        "a|B",
        "(x",
        "^y$",
        "so",
        "ſo",
        "a\nb",
        "A\nB",
        "#1",
        "-a b",
    ),
]


def test_every_writing_of_a_key_is_found(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    shop.things.insert_many([{"mail": each} for each in WRITTEN])
    parse = key_parser("caseless", "shop")
    place = spec(key="mail", key_type="caseless")
    for key in dict.fromkeys(map(folded, WRITTEN)):
        found = sorted(row[0] for row in probe.fetch(place, [key]) if parse(row[0]) == key)
        assert found == sorted(raw for raw in WRITTEN if folded(raw) == key), key
    assert len(probe.fetch(place, [folded(each) for each in WRITTEN])) == len(WRITTEN)
    assert probe.fetch(place, ["nobody"]) == []


def test_keys_that_are_no_texts_are_found_as_well(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    shop.things.insert_many([{"_id": OBJECT_ID}, {"_id": 12}])
    found = probe.fetch(spec(key_type="caseless"), [str(OBJECT_ID), "12"])
    assert sorted(str(row[0]) for row in found) == ["12", str(OBJECT_ID)]


def test_a_number_is_found_however_it_is_written(shop: Database[dict[str, Any]], probe: MongoDbProbe) -> None:
    one = ["+4930123456", "030 12 34 56", "(030) 123-456", "0049 30/123456", "030\u00a0123\u2013456"]
    shop.things.insert_many([{"phone": each} for each in [*one, "030 999999", "030 123456 ext. 5", None, 7, ""]])
    place = spec(key="phone", key_type="phone", key_region="DE")
    assert sorted(row[0] for row in probe.fetch(place, ["+4930123456", "+4930111111"])) == sorted(one)
    odd = probe.fetch(replace(place, mistaken=True), ["+4930123456"])
    assert sorted(row[0] for row in odd) == sorted([*one, "030 123456 ext. 5"])
    assert any("say key_written: e164" in each for each in probe.inspect(place))
