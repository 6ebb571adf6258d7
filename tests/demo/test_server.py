"""The company's APIs answer what the map asks for, and fail as the conditions say; its stage takes JSON alone."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from demo.company import Company
from demo.server import serve
from demo.stage import Stage
from tests.demo.test_company import company

__all__ = ["company"]


@pytest.fixture
def stage(company: Company) -> Stage:
    return Stage(company, random.Random(2))


@pytest.fixture
def address(company: Company, stage: Stage) -> Iterator[str]:
    server = serve(company, stage, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def asked(address: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(address) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]
        return found


def test_records_are_found_by_ids_by_page_and_by_change(address: str) -> None:
    many = asked(f"{address}/crm/customers?ids=cus_00002,cus_00001,none")
    assert [each["id"] for each in many] == ["cus_00001", "cus_00002"]
    page = asked(f"{address}/billing/customers?after=cus_00100&limit=3")
    assert [each["id"] for each in page] == ["cus_00101", "cus_00102", "cus_00103"]
    assert asked(f"{address}/crm/customers?changed_since=2099-01-01T00:00:00Z&limit=3") == []
    assert len(asked(f"{address}/billing/invoices?changed_since=2000-01-01T00:00:00Z&limit=7")) == 7
    assert [each["customer_id"] for each in asked(f"{address}/messaging/mails?limit=2")] == ["cus_00001", "cus_00002"]


def test_documents_and_contacts_are_nested(address: str) -> None:
    (document,) = asked(f"{address}/documents/accounts?ids=cus_00001")
    (contact,) = asked(f"{address}/marketing/contacts?ids=cus_00001")
    assert document["profile"]["email"] == contact["properties"]["email"]
    assert document["account"]["plan"] == contact["properties"]["plan"]


def test_a_system_can_be_down_used_up_or_wrong_about_the_time(address: str, stage: Stage) -> None:
    stage.conditions.down.add("crm")
    stage.conditions.next_day_s["marketing"] = time.monotonic() + 40
    stage.conditions.clock_s["billing"] = 3600.0
    with pytest.raises(urllib.error.HTTPError) as down:
        asked(f"{address}/crm/customers?ids=cus_00001")
    with pytest.raises(urllib.error.HTTPError) as used_up:
        asked(f"{address}/marketing/contacts?ids=cus_00001")
    assert (down.value.code, used_up.value.code) == (503, 429)
    assert 1 <= int(used_up.value.headers["Retry-After"]) <= 40
    dates = []
    for path in ("documents/accounts", "billing/customers"):
        with urllib.request.urlopen(f"{address}/{path}?ids=cus_00001") as answer:
            dates.append(parsedate_to_datetime(answer.headers["Date"]))
    assert (dates[1] - dates[0]).total_seconds() > 3000


def told(address: str, body: bytes, kind: str = "application/json") -> Any:
    with urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": kind})) as answer:
        return json.load(answer)


def test_a_scenario_is_played_and_mended_over_http(address: str) -> None:
    playing = told(f"{address}/play", b'{"name": "unreachable-crm", "held": true}')["playing"]
    assert (playing["name"], playing["prevented"]) == ("unreachable-crm", False)
    for path, body in (
        ("play", b'{"name": "late-sync"}'),
        ("play", b'{"name": "none"}'),
        ("play", b"["),
        ("x", b"{}"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            told(f"{address}/{path}", body)
        assert refused.value.code == 400
    assert told(f"{address}/mend", b"{}")["playing"] is not None  # until its script has ended


def test_a_form_of_another_site_plays_nothing(address: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        told(f"{address}/play", b'{"name": "unreachable-crm"}', "text/plain")
    assert refused.value.code == 400


def test_the_channel_keeps_what_it_is_sent(address: str) -> None:
    told(f"{address}/chat", b'{"text": "[HIGH] something"}')
    with urllib.request.urlopen(f"{address}/chat") as answer:
        (message,) = json.load(answer)["messages"]
    assert message["message"] == {"text": "[HIGH] something"}
