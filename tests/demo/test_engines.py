"""The company on real engines: MongoDB's protocol, PostgreSQL and Redis hold the same as its own files would."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymongo
import pytest
import redis
from ruamel.yaml import YAML

from auditor import demo
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from demo.bus import Bus
from demo.business import Business
from demo.company import COPIES, CUSTOMERS, Company
from demo.conditions import Conditions
from demo.engines import NAME, VARIABLES, Engines
from demo.server import serve
from demo.stage import Stage
from demo.stores import StoreError
from tests import servers
from tests.auditor.cli.process import auditor
from tests.daemons import running
from tests.demo.test_company import held
from tests.proxy import Proxy
from tests.waiting import wait_until


@pytest.fixture
def addresses(ferretdb_url: str, postgresql_url: str, redis_url: str) -> dict[str, str]:
    return {"documents": ferretdb_url, "warehouse": postgresql_url, "bus": redis_url}


@pytest.fixture
def company(tmp_path: Path, addresses: dict[str, str]) -> Company:
    made = Company(tmp_path / "company", Engines(addresses))
    made.found(random.Random(1))
    return made


@pytest.fixture
def conditions() -> Conditions:
    return Conditions()


@pytest.fixture
def business(company: Company, conditions: Conditions) -> Business:
    return Business(company, conditions, random.Random(3))


@pytest.fixture
def bus(company: Company, conditions: Conditions) -> Bus:
    return Bus(company, conditions)


def documents(addresses: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    with pymongo.MongoClient[dict[str, Any]](addresses["documents"]) as client:
        found = list(client[NAME].accounts.find())
    return {each["_id"]: (*each["profile"].values(), *each["account"].values()) for each in found}


def loaded(addresses: Mapping[str, str], asked: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(addresses["warehouse"], options=f"-c search_path={NAME}") as connection:
        return connection.execute(asked.encode()).fetchall()


def entries(addresses: Mapping[str, str], name: str) -> list[dict[bytes, bytes]]:
    with redis.Redis.from_url(addresses["bus"]) as client:
        found: Any = client.xrange(f"{NAME}:{name}")
        return [fields for _, fields in found]


def test_everything_arrives(company: Company, business: Business, bus: Bus, addresses: dict[str, str]) -> None:
    for _ in range(100):
        business.act()
    business.delete("cus_00001")
    while bus.work():
        pass
    customers = held(company, "crm", "SELECT id, name, email, plan, status FROM customers ORDER BY id")
    assert documents(addresses) == {key: tuple(more) for key, *more in customers}
    assert len(customers) >= CUSTOMERS - 1
    asked = "SELECT customer_id, full_name, email, plan, status FROM dim_customer ORDER BY customer_id"
    assert loaded(addresses, asked) == customers
    cents = held(company, "billing", "SELECT id, amount_cents, state FROM invoices ORDER BY id")
    asked = "SELECT invoice_id, (amount * 100)::int, state FROM fact_invoice ORDER BY invoice_id"
    assert loaded(addresses, asked) == cents
    paid = held(company, "billing", "SELECT id FROM payments ORDER BY id")
    assert loaded(addresses, "SELECT payment_id FROM fact_payment ORDER BY payment_id") == paid


def test_jobs_keep_their_order_and_a_slow_target_keeps_the_others_waiting(
    business: Business, bus: Bus, conditions: Conditions, addresses: dict[str, str]
) -> None:
    conditions.slow.add("marketing")
    for plan in ("team", "business", "free"):
        business.change("cus_00001", plan=plan)
    bus.work()
    waiting = entries(addresses, "waiting:marketing:customer")
    assert [each[b"key"] for each in waiting] == [b"cus_00001"] * 2
    assert len(entries(addresses, "waiting:warehouse:customer")) == 2
    conditions.lanes = True
    bus.work()
    assert documents(addresses)["cus_00001"][2] == "free"
    assert entries(addresses, "waiting:documents:customer") == []


def test_a_record_that_its_target_refuses_is_dead_lettered_until_it_is_discarded(
    business: Business, bus: Bus, addresses: dict[str, str]
) -> None:
    business.change("cus_00001", email="ada at example.com")
    bus.work()
    (letter,) = entries(addresses, "dead:billing:customer")
    assert letter[b"error"] == b"422 from billing: email of cus_00001 is not valid"
    assert documents(addresses)["cus_00001"][1] == "ada at example.com"
    bus.discard()
    assert entries(addresses, "dead:billing:customer") == []


def test_a_company_that_is_founded_is_left_alone_and_another_one_takes_its_place(
    company: Company, tmp_path: Path, addresses: dict[str, str]
) -> None:
    with psycopg.connect(addresses["warehouse"]) as connection:
        connection.execute(f"DELETE FROM {NAME}.dim_customer".encode())
        connection.execute(b"CREATE TABLE dim_customer (of_somebody_else int)")
    company.found(random.Random(2))
    assert loaded(addresses, "SELECT * FROM dim_customer") == []
    with redis.Redis.from_url(addresses["bus"]) as client:
        client.set("of somebody else", "kept")
    Company(tmp_path / "another", Engines(addresses)).found(random.Random(2))
    assert len(loaded(addresses, "SELECT * FROM dim_customer")) == CUSTOMERS
    with redis.Redis.from_url(addresses["bus"]) as client:
        assert client.getdel("of somebody else") == b"kept"
    assert loaded(addresses, "SELECT * FROM public.dim_customer") == []
    company.found(random.Random(2))  # the servers are another company's by now
    assert documents(addresses).keys() == {key for (key,) in held(company, "crm", "SELECT id FROM customers")}


def test_a_folder_can_go_from_files_to_engines_and_back(tmp_path: Path, addresses: dict[str, str]) -> None:
    for engines in (None, Engines(addresses), None):
        company = Company(tmp_path, engines)
        company.found(random.Random(1))
        assert company.path("warehouse").exists() is (engines is None)
        assert (tmp_path / demo.FOUNDED).exists() is (engines is not None)


@pytest.fixture
def broken(request: pytest.FixtureRequest, addresses: dict[str, str]) -> Iterator[tuple[Proxy, dict[str, str]]]:
    """A proxy in front of one of the servers, and the addresses with it."""
    place = urlsplit(addresses[request.param])
    proxy = Proxy(int(place.port or 0))
    through = place._replace(netloc=place.netloc.replace(f":{place.port}", f":{proxy.port}")).geturl()
    yield proxy, {**addresses, request.param: through}
    proxy.close()


@pytest.mark.parametrize("broken", ["bus"], indirect=True)
def test_jobs_and_a_discard_wait_while_the_bus_cannot_be_reached(
    tmp_path: Path, addresses: dict[str, str], broken: tuple[Proxy, dict[str, str]]
) -> None:
    proxy, through = broken
    company = Company(tmp_path, Engines(through))
    company.found(random.Random(1))
    bus, business = Bus(company, Conditions()), Business(company, Conditions(), random.Random(3))
    business.change("cus_00001", email="ada at example.com")
    bus.work()
    assert len(entries(addresses, "dead:billing:customer")) == 1
    proxy.mode = "reset"
    business.change("cus_00001", email="ada@example.com")  # does not fail, as a script would not go on
    bus.discard()
    with pytest.raises(StoreError, match=r"DEMO_BUS, Redis at 127\.0\.0\.1:\d+: ") as failed:
        bus.work()
    assert "secret" not in str(failed.value)
    proxy.mode = "pass"
    assert bus.work() == len(COPIES)
    assert entries(addresses, "dead:billing:customer") == []
    assert documents(addresses)["cus_00001"][1] == "ada@example.com"


@pytest.mark.parametrize(
    ("broken", "named"), [("warehouse", "DEMO_WAREHOUSE"), ("documents", "DEMO_DOCUMENTS")], indirect=["broken"]
)
def test_a_copy_that_cannot_be_reached_keeps_no_other_waiting(
    tmp_path: Path, addresses: dict[str, str], broken: tuple[Proxy, dict[str, str]], named: str
) -> None:
    proxy, through = broken
    company = Company(tmp_path, Engines(through))
    company.found(random.Random(1))
    bus, business = Bus(company, Conditions()), Business(company, Conditions(), random.Random(3))
    proxy.mode = "reset"
    business.change("cus_00001", email="ada@example.com")
    with pytest.raises(StoreError, match=named) as failed:
        bus.work()
    assert "secret" not in str(failed.value)
    waiting = {each: len(entries(addresses, f"waiting:{each}:customer")) for each in COPIES}
    assert [each for each, jobs in waiting.items() if jobs] == [named.removeprefix("DEMO_").lower()]
    proxy.mode = "pass"
    assert bus.work() == 1
    assert documents(addresses)["cus_00001"][1] == "ada@example.com"
    asked = "SELECT email FROM dim_customer WHERE customer_id = 'cus_00001'"
    assert loaded(addresses, asked) == [("ada@example.com",)]


@pytest.fixture
def environment(company: Company, addresses: dict[str, str]) -> dict[str, str]:
    named = {variable: addresses[system] for system, variable in VARIABLES.items()}
    return {**named, "DEMO_FOLDER": str(company.folder)}


def test_both_maps_say_the_same_but_for_where_it_is() -> None:
    def said(path: Path) -> dict[str, Any]:
        whole: dict[str, Any] = YAML(typ="safe").load(path.read_text())
        for name in ("documents", "warehouse"):
            whole["systems"][name] = whole["systems"][name]["description"]
            for each in whole["data_types"].values():
                each["in"].pop(name, None)
        whole["systems"].pop("bus", None)
        for each in whole["flows"].values():
            each["queues"] = {name: queue["role"] for name, queue in each["queues"].items()}
        return whole

    assert said(demo.ENGINES_MAP) == said(demo.MAP)


@pytest.fixture
def served(company: Company) -> Iterator[str]:
    """The address of the company's APIs."""
    server = serve(company, Stage(company, random.Random(1)), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_auditor_finds_all_in_agreement_but_what_was_refused(
    business: Business, bus: Bus, environment: dict[str, str], served: str, tmp_path: Path
) -> None:
    named = {**environment, "DEMO_COMPANY": served, "SLACK_WEBHOOK_URL": ""}
    data = tmp_path / "var"
    flows = load_map(demo.ENGINES_MAP, named).flows
    with running(demo.ENGINES_MAP, data, environment=named, warmed=True):
        ledger = Workspace.at(data).ledger()
        wait_until(lambda: all(ledger.flows.state(each).verified_through_at is not None for each in flows))
        business.change("cus_00002", email="ada at example.com")
        bus.work()
        wait_until(lambda: ledger.incidents.rows(live_only=True, limit=10))
        wait_until(lambda: ledger.incidents.rows(live_only=True, limit=10)[0]["cause"] == "rejected_messages")
        (incident,) = ledger.incidents.rows(live_only=True, limit=10)
        assert incident["flow"] == "customer_to_billing"
        ledger.close()


def test_without_an_address_the_demo_says_which_is_missing(tmp_path: Path) -> None:
    done = auditor("demo", "--engines", "--data", tmp_path / "demo", "--port", 0, DEMO_BUS="redis://127.0.0.1:1")
    assert done.returncode == 1
    said = "DEMO_DOCUMENTS, DEMO_WAREHOUSE not set: the addresses of MongoDB, PostgreSQL, Redis"
    assert said in done.stderr
    assert done.stdout == ""


def test_a_server_that_cannot_be_reached_is_named_without_its_login(
    tmp_path: Path, addresses: dict[str, str]
) -> None:
    nobody = f"127.0.0.1:{servers.free_port()}"
    company = Company(tmp_path, Engines({**addresses, "warehouse": f"postgresql://t:secret@{nobody}/x"}))
    with pytest.raises(StoreError, match=f"DEMO_WAREHOUSE, PostgreSQL at {nobody}/x: ") as failed:
        company.found(random.Random(1))
    assert "secret" not in str(failed.value)
    company = Company(tmp_path, Engines({**addresses, "warehouse": f"postgres:/t:secret@{nobody}/x"}))
    with pytest.raises(StoreError, match="DEMO_WAREHOUSE, PostgreSQL at ") as failed:
        company.found(random.Random(1))
    assert "secret" not in str(failed.value)
    with pytest.raises(StoreError, match=f"DEMO_BUS, Redis at {nobody}: "):
        Engines({**addresses, "bus": f"http://:secret@{nobody}"})
