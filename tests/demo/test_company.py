"""The demo company is founded in perfect agreement, and works without faults unless a scenario is played."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from demo.bus import Bus
from demo.business import Business
from demo.company import COPIES, CUSTOMERS, Company
from demo.conditions import Conditions


@pytest.fixture
def company(tmp_path: Path) -> Company:
    made = Company(tmp_path / "demo")
    made.found(random.Random(1))
    return made


def held(company: Company, system: str, sql: str) -> list[Any]:
    with company.open(system) as database:
        return database.execute(sql).fetchall()


def copies(company: Company) -> dict[str, list[Any]]:
    """The customers of each system, without when they were written."""
    of_api = "SELECT id, name, email, plan, status, signed_at FROM customers ORDER BY id"
    found = {each: held(company, each, of_api) for each in ("crm", *COPIES) if each != "warehouse"}
    of_sql = "SELECT customer_id, full_name, email, plan, status, signed_at FROM dim_customer ORDER BY customer_id"
    return {**found, "warehouse": held(company, "warehouse", of_sql)}


def test_is_founded_once(company: Company) -> None:
    with company.open("crm") as crm:
        crm.execute("DELETE FROM customers")
    company.found(random.Random(2))
    assert held(company, "crm", "SELECT * FROM customers") == []


def test_what_an_interrupted_founding_or_an_earlier_version_has_left_is_replaced(tmp_path: Path) -> None:
    for left in ("crm", "sync"):
        with sqlite3.connect(tmp_path / f"{left}.sqlite") as database:
            database.execute("CREATE TABLE customers (id TEXT)")
    company = Company(tmp_path)
    company.found(random.Random(1))
    assert len(held(company, "crm", "SELECT * FROM customers")) == CUSTOMERS
    assert not company.path("sync").exists()


def test_without_a_scenario_everything_arrives(company: Company) -> None:
    conditions = Conditions()
    business, bus = Business(company, conditions, random.Random(3)), Bus(company, conditions)
    assert len({repr(each) for each in copies(company).values()}) == 1
    for _ in range(200):
        business.act()
    while bus.work():
        pass
    found = copies(company)
    assert all(each == found["crm"] for each in found.values())
    assert len(found["crm"]) > CUSTOMERS
    invoices = held(
        company, "billing", "SELECT id, printf('%.2f', amount_cents / 100.0), state FROM invoices ORDER BY 1"
    )
    assert held(company, "warehouse", "SELECT invoice_id, amount, state FROM fact_invoice ORDER BY 1") == invoices
    paid = held(company, "billing", "SELECT id FROM invoices WHERE state = 'paid' ORDER BY 1")
    assert held(company, "billing", "SELECT invoice_id FROM payments ORDER BY 1") == paid
    assert held(company, "warehouse", "SELECT invoice_id FROM fact_payment ORDER BY 1") == paid
    welcomed = held(company, "messaging", "SELECT customer_id FROM mails ORDER BY 1")
    assert welcomed == held(company, "crm", "SELECT id FROM welcomes ORDER BY 1")
    assert held(company, "bus", "SELECT * FROM dead_letters") == []
