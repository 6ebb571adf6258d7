"""A first map from two systems: keys and fields matched by what they hold, with the evidence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.discover import Found, alike, discover, words_of
from auditor.map_file import load_map
from auditor.proposed_map import as_yaml
from auditor.reading import SystemReader
from probes import registry

CRM = """
    CREATE TABLE customers (id integer PRIMARY KEY, name text, email text UNIQUE, plan text, balance numeric,
        updated_at timestamp);
    CREATE TABLE notes (id integer PRIMARY KEY, body text);"""
WAREHOUSE = """
    CREATE TABLE dim_customer (customer_id integer, full_name text, mail text, tier text, credit numeric,
        loaded_at timestamp);
    CREATE TABLE dates (day text PRIMARY KEY, week integer);"""


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Found]:
    with sqlite3.connect(tmp_path / "crm.sqlite") as crm:
        crm.executescript(CRM)
        plans = ["pro" if number % 3 else "free" for number in range(61)]
        rows = [
            (n, f"Customer {n}", f"c{n}@example.com", plans[n], n / 4, f"2026-01-{n % 28 + 1:02}")
            for n in range(1, 61)
        ]
        crm.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", rows)
    with sqlite3.connect(tmp_path / "dwh.sqlite") as warehouse:
        warehouse.executescript(WAREHOUSE)
        copies = [(*row[:4], row[4] if row[0] != 7 else 99, "2026-03-01") for row in rows if row[0] != 9]
        warehouse.executemany("INSERT INTO dim_customer VALUES (?, ?, ?, ?, ?, ?)", copies)
    readers = []
    for name in ("crm", "dwh"):
        settings = registry.record_settings("sql").model_validate(
            {"kind": "sql", "url": f"sqlite:///{tmp_path}/{name}.sqlite", "zone": "UTC"}
        )
        readers.append(SystemReader(name, settings, registry.open_record_probe(settings)))  # type: ignore[arg-type]
    yield discover(*readers)
    for reader in readers:
        reader.close()


def test_collections_and_fields_are_matched_by_what_they_hold(found: Found) -> None:
    (match,) = found.matches
    assert (match.left.name, match.right.name) == ("customers", "dim_customer")
    assert [each.name for each in match.keys] == ["id", "customer_id"]
    assert (match.common, match.asked) == (59, 60)
    pairs = {each.left.name: (each.right.name, each.equal, each.of) for each in match.fields}
    assert pairs["name"] == ("full_name", 59, 59)
    assert pairs["email"] == ("mail", 59, 59)
    assert pairs["plan"] == ("tier", 59, 59)
    assert pairs["balance"] == ("credit", 58, 59)
    assert found.alone == {"crm": ["notes"], "dwh": ["dates"]}


def test_the_proposal_is_a_valid_map_that_says_what_a_person_must_decide(found: Found, tmp_path: Path) -> None:
    text = as_yaml(found, ("sql", "sql"), ("${CRM_URL}", "${DWH_URL}"))
    file = tmp_path / "proposed.yaml"
    file.write_text(text)
    urls = {f"{name.upper()}_URL": f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("crm", "dwh")}
    proposed = load_map(file, urls)
    flow = proposed.flow("customer_to_dwh")
    assert set(flow.field_names) == {"name", "email", "plan", "balance"}
    assert flow.target_spec.fields == ("full_name", "mail", "tier", "credit")
    assert "58 of 59 values equal" in text
    assert "TODO which of the two is the source of truth" in text
    assert "1 of the 60 records of crm looked at are not in dwh" in text
    assert "without a counterpart in crm: notes" in text


@pytest.mark.parametrize(
    ("left", "right", "least"),
    [("customers", "dim_customer", 1.0), ("firstName", "first_name", 1.0), ("name", "full_name", 0.7)],
)
def test_names_are_alike_without_case_plural_and_prefix(left: str, right: str, least: float) -> None:
    assert alike(left, right) >= least
    assert alike("plan", "updated_at") < 0.55
    assert words_of("sales.fact_Orders") == "order"
