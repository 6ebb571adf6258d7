"""The records that a notice of an incident names."""

from __future__ import annotations

import json
from typing import Any

from tests.stand import Stand


def notices(stand: Stand) -> list[dict[str, Any]]:
    return [json.loads(str(row["notice"])) for row in stand.rows("alerts")]


def test_a_notice_names_the_records_that_have_differed_longest_and_where_to_see_them(stand: Stand) -> None:
    stand.remap("crm: {collection: ", 'crm: {link: "https://crm.example/c/{key}", collection: ')
    stand.agree(9)
    for key in range(1, 10):
        stand.put("billing", key, "Eve")
    stand.sweep()
    stand.audit_until(lambda: bool(notices(stand)))
    (notice, *_) = notices(stand)
    assert notice["breach"] == "foreign_write"
    assert 1 <= len(notice["records"]) <= 6
    for each in notice["records"]:
        link = f"https://crm.example/c/{each['key']}"
        assert each == {"flow": "to_billing", "key": each["key"], "lag_s": None, "links": {"crm": link}}
    assert len({each["key"] for each in notice["records"]}) == len(notice["records"])


def test_a_late_record_says_how_late_it_is(stand: Stand) -> None:
    stand.agree()
    stand.put("crm", 1, "Grace", ago_s=0)
    stand.audit_until(lambda: bool(notices(stand)))
    (record,) = notices(stand)[0]["records"]
    assert record["key"] == "1"
    assert record["lag_s"] >= 4
    assert record["links"] == {}
