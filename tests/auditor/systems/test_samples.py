"""A discovery asks an API little: each list once, and no keys that it cannot have."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from auditor.systems.discovery import discover
from auditor.systems.matches import Found
from auditor.systems.reader import SystemReader
from auditor.systems.samples import _look_alike
from probes import registry
from tests.standins import faults
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot
from tests.standins.salesforce import APP, Salesforce
from tests.standins.stripe import SECRET_KEY, Stripe

RECORDS = 60


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def reader(opened: ExitStack, kind: str, **words: Any) -> SystemReader:
    settings: Any = registry.record_settings(kind).model_validate({"kind": kind, **words})
    found = SystemReader(kind, settings, registry.open_record_probe(settings))
    opened.callback(found.close)
    return found


def shop(opened: ExitStack, place: Path, rows: list[tuple[object, ...]]) -> SystemReader:
    """A database with customers, and tables that no account has."""
    with closing(sqlite3.connect(place / "shop.sqlite")) as database, database:
        database.executescript(
            "CREATE TABLE customers (id integer PRIMARY KEY, email text UNIQUE, account_id text UNIQUE, name text);"
            "CREATE TABLE stock (id integer PRIMARY KEY, place text); CREATE TABLE days (day text PRIMARY KEY);"
        )
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
        database.executemany("INSERT INTO stock VALUES (?, ?)", [(n, f"shelf {n}") for n in range(RECORDS)])
    return reader(opened, "sql", url=f"sqlite:///{place}/shop.sqlite", zone="UTC")


def matched(found: Found) -> list[tuple[str, str, list[list[str]], int]]:
    return [
        (each.left.name, each.right.name, [[part.name for part in key] for key in each.keys], each.common)
        for each in found.matches
        if each.common
    ]


def test_of_keys_that_an_api_reads_one_by_one_only_those_are_looked_up_that_it_may_have(
    opened: ExitStack, tmp_path: Path
) -> None:
    account = opened.enter_context(Stripe())
    account.each_operation = account.everything.most = 10_000
    rows: list[tuple[object, ...]] = [
        (
            n,
            f"c{n}@x.example",
            account.create("customer", email=f"c{n}@x.example", name=f"Name {n}", metadata={"shop_id": str(n)}),
            f"Name {n}",
        )
        for n in range(RECORDS)
    ]
    found = discover(shop(opened, tmp_path, rows), reader(opened, "stripe", url=account.url, key=SECRET_KEY))
    assert matched(found) == [("customers", "customers", [["account_id"], ["id"]], RECORDS)]
    assert account.count("read_customers") <= RECORDS + 10
    assert account.count() <= 3 * RECORDS


def test_an_apis_list_is_read_once_for_all_keys_and_tables(opened: ExitStack, tmp_path: Path) -> None:
    account = opened.enter_context(HubSpot())
    rows: list[tuple[object, ...]] = [
        (
            n,
            f"c{n}@x.example",
            account.create("contacts", email=f"c{n}@x.example", firstname=f"Name {n}"),
            f"Name {n}",
        )
        for n in range(RECORDS)
    ]
    hubspot = reader(opened, "hubspot", url=account.url, token=PRIVATE_APP_TOKEN)
    found = discover(hubspot, shop(opened, tmp_path, rows))
    ((left, right, keys, common),) = matched(found)
    assert (left, right, common) == ("contacts", "customers", RECORDS)
    assert keys in ([["hs_object_id"], ["account_id"]], [["email"], ["email"]])
    assert account.count("list") == 3  # contacts, companies, deals
    assert account.count("batch_read") <= 4


def test_what_cannot_be_read_is_reported_by_collection(opened: ExitStack, tmp_path: Path) -> None:
    account = opened.enter_context(HubSpot())
    account.create("contacts", email="c1@x.example")
    account.fail(faults.Fault(name="refused", status=403), on="list", times=50)
    hubspot = reader(opened, "hubspot", url=account.url, token=PRIVATE_APP_TOKEN)
    found = discover(hubspot, shop(opened, tmp_path, [(1, "c1@x.example", "1", "One")]))
    assert matched(found) == []
    assert found.unread["hubspot"]["contacts"].startswith("permission: ")
    assert found.empty == ("hubspot",)


def test_a_system_without_records_is_named(opened: ExitStack, tmp_path: Path) -> None:
    account = opened.enter_context(Stripe())
    stripe = reader(opened, "stripe", url=account.url, key=SECRET_KEY)
    found = discover(shop(opened, tmp_path, [(1, "c1@x.example", "cus_1", "One")]), stripe)
    assert (found.empty, found.unread) == (("stripe",), {})
    assert account.count() <= 40


def test_people_of_two_accounts_are_found_by_their_addresses(opened: ExitStack) -> None:
    crm, org = opened.enter_context(HubSpot()), opened.enter_context(Salesforce())
    for n in range(12):
        crm.create("contacts", email=f"c{n}@x.example", lastname=f"Name {n}")
        org.put("Contact", LastName=f"Name {n}", Email=f"c{n}@x.example")
    salesforce = reader(opened, "salesforce", url=org.url, client_id=APP.client_id, client_secret=APP.client_secret)
    found = discover(salesforce, reader(opened, "hubspot", url=crm.url, token=PRIVATE_APP_TOKEN))
    assert matched(found) == [("Contact", "contacts", [["Email"], ["email"]], 12)]


@pytest.mark.parametrize(
    ("ours", "theirs", "may"),
    [
        (["1", "22"], ["cus_1a", "cus_2b"], False),
        (["cus_1a"], [7, 8], False),
        (["a@x.example"], ["cus_1a"], False),
        (["a@x.example"], ["b-b@x.example", "c@y.example"], True),
        (["cus_9"], ["cus_1a", "cus_22"], True),
    ],
)
def test_keys_that_look_different_are_not_the_same(ours: list[Any], theirs: list[Any], may: bool) -> None:
    assert _look_alike(ours, theirs) is may
