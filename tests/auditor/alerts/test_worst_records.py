"""The records that a notice of an incident names."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from auditor.alerts.worst_records import worst_records
from auditor.senders.notice_text import record_lines
from checks.breaches import Breach
from tests.auditor.ledger.rows import NOW
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
        assert each == {
            "data_type": "customer",
            "flow": "to_billing",
            "key": each["key"],
            "lag_s": None,
            "links": {"crm": link},
        }
    assert len({each["key"] for each in notice["records"]}) == len(notice["records"])


def test_a_record_that_differs_in_several_flows_is_named_once_with_all_its_links(stand: Stand) -> None:
    stand.remap("billing: {collection: ", 'billing: {link: "https://billing.example/c/{key}", collection: ')
    here = stand.map.flow("to_billing")
    names = ("settings", "source_name", "source", "source_binding", "target", "target_binding")
    there = SimpleNamespace(target_name="warehouse", **{name: getattr(here, name) for name in names})
    breaches = [SimpleNamespace(flow=name, breach=Breach.FOREIGN_WRITE) for name in ("here", "there")]
    later = NOW + timedelta(seconds=9)
    longest = [("here", "7", NOW), ("there", "7", later), ("here", "8", later)]
    ledger = SimpleNamespace(findings=SimpleNamespace(longest=lambda *_: longest))
    group = SimpleNamespace(breaches=breaches)
    flows = {"here": here, "there": cast(Any, there)}
    found = worst_records(cast(Any, ledger), cast(Any, None), cast(Any, group), flows, later)
    assert [(each["key"], each["flow"], each["lag_s"]) for each in found] == [("7", "here", 9.0), ("8", "here", 0.0)]
    assert [*found[0]["links"]] == ["billing", "warehouse"]


def test_records_of_several_types_are_told_apart() -> None:
    records = [{"data_type": "customer", "key": "7", "lag_s": 9}, {"data_type": "invoice", "key": "7", "lag_s": None}]
    assert record_lines({"records": records}) == ["customer 7 (lag 9 s)", "invoice 7"]
    assert record_lines({"records": records[:1]}) == ["7 (lag 9 s)"]


def test_a_late_record_says_how_late_it_is(stand: Stand) -> None:
    stand.agree()
    stand.put("crm", 1, "Grace", ago_s=0)
    stand.audit_until(lambda: bool(notices(stand)))
    (record,) = notices(stand)[0]["records"]
    assert record["key"] == "1"
    assert record["lag_s"] >= 4
    assert record["links"] == {}
