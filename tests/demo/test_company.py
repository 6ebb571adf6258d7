"""The demo company works, breaks and is repaired; its API answers what the map asks for."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auditor import demo
from auditor.alerts.delivery import open_senders
from auditor.map.loader import load_map
from demo.billing import serve
from demo.company import CUSTOMERS, Company
from demo.worker import FAULTS, Business, Worker


@pytest.fixture
def company(tmp_path: Path) -> Company:
    made = Company(tmp_path / "demo")
    made.found(random.Random(1))
    return made


def held(company: Company, system: str, sql: str) -> list[Any]:
    with company.open(system) as database:
        return database.execute(sql).fetchall()


def test_is_founded_once(company: Company) -> None:
    with company.open("crm") as crm:
        crm.execute("DELETE FROM customers")
    company.found(random.Random(2))
    assert held(company, "crm", "SELECT * FROM customers") == []


def test_without_faults_everything_arrives(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.worker.FAULTS", dict.fromkeys(FAULTS, 0.0))
    business, worker = Business(company, random.Random(3)), Worker(company, random.Random(4))
    for _ in range(200):
        business.act()
    while worker.work():
        pass
    wanted = held(company, "crm", "SELECT id, plan, status FROM customers ORDER BY id")
    copies = held(company, "billing", "SELECT id, plan, status FROM customers WHERE id <> 'cus_old7' ORDER BY id")
    assert copies == wanted
    assert len(wanted) > CUSTOMERS


def test_with_faults_it_drifts_and_leaves_dead_letters(company: Company) -> None:
    business, worker = Business(company, random.Random(3)), Worker(company, random.Random(4))
    for _ in range(300):
        business.act()
    while worker.work():
        pass
    wanted = held(company, "crm", "SELECT id, plan, status FROM customers ORDER BY id")
    assert held(company, "billing", "SELECT id, plan, status FROM customers ORDER BY id") != wanted
    assert held(company, "sync", "SELECT * FROM dead_letters")
    assert held(company, "sync", "SELECT * FROM jobs")  # the late ones


def test_a_stopped_worker_lets_the_queue_grow(company: Company) -> None:
    with company.open("sync") as sync:
        sync.execute("INSERT INTO switches VALUES ('worker', 'stopped')")
    Business(company, random.Random(3)).queue("billing", "customer", "cus_00001", ())
    assert Worker(company, random.Random(4)).work() == 0


@pytest.fixture
def address(company: Company) -> Iterator[str]:
    server = serve(company, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def asked(address: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(address) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]
        return found


def test_billing_answers_by_ids_by_page_and_by_change(address: str) -> None:
    assert [r["id"] for r in asked(f"{address}/customers?ids=cus_00002,cus_00001,none")] == ["cus_00001", "cus_00002"]
    page = asked(f"{address}/customers?after=cus_00100&limit=3")
    assert [record["id"] for record in page] == ["cus_00101", "cus_00102", "cus_00103"]
    assert asked(f"{address}/customers?changed_since=2099-01-01T00:00:00Z&limit=3") == []
    assert len(asked(f"{address}/invoices?changed_since=2000-01-01T00:00:00Z&limit=7")) == 7


@pytest.mark.parametrize(
    ("environment", "senders"),
    [({}, []), ({"SLACK_WEBHOOK_URL": ""}, []), ({"SLACK_WEBHOOK_URL": "https://hooks.example/T0/B0/x"}, ["slack"])],
)
def test_its_map_tells_slack_once_a_webhook_is_set(environment: dict[str, str], senders: list[str]) -> None:
    places = {"DEMO_FOLDER": "/nowhere", "DEMO_BILLING": "http://127.0.0.1:1"}
    loaded = load_map(Path(demo.__file__).with_name("demo_map.yaml"), {**places, **environment})
    assert list(open_senders(loaded.alerts)) == senders


def test_the_line_for_the_shell_survives_spaces(tmp_path: Path) -> None:
    folder = str(tmp_path / "a b")
    line = demo.export_line({"AUDITOR_DATA": folder})
    told = subprocess.run(["sh", "-c", f'{line}; printf %s "$AUDITOR_DATA"'], capture_output=True, text=True)
    assert told.stdout == folder
