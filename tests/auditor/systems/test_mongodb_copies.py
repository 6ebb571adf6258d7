"""Copies in MongoDB, from the first map to the verdicts: what a user sees, with FerretDB behind it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from tests.auditor.cli.process import auditor

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLANS = ("free", "pro", "team")
MAP = """
version: 1
systems:
  crm: {{kind: sql, url: "sqlite:///{place}/crm.sqlite", zone: UTC}}
  shop: {{kind: mongodb, url: "${{SHOP_URL}}"}}
data_types:
  customer:
    owner: crm
    key_type: integer
    window: 1s
    in:
      crm: {{collection: customers, key: id, changed_at: updated_at}}
      shop: {{collection: customers, key: customerNo, changed_at: updatedAt, fields: {{city: address.city}}}}
    fields:
      email: {{type: string, null_is: [missing]}}
      city: {{type: string}}
      balance: {{type: decimal}}
flows:
  crm_to_shop: {{data_type: customer, from: crm, to: shop, pattern: near-real-time}}
"""


@pytest.fixture
def shop_url(ferretdb_url: str, tmp_path: Path) -> Iterator[str]:
    """A CRM in SQLite, and its copy in MongoDB with four faults; no fault, but alike: a null that is missing."""
    client: MongoClient[dict[str, Any]] = MongoClient(ferretdb_url)
    name = f"t{uuid4().hex[:12]}"
    with sqlite3.connect(tmp_path / "crm.sqlite") as crm:
        crm.execute(
            "CREATE TABLE customers (id integer PRIMARY KEY, email text, city text, balance numeric, updated_at text)"
        )
        documents: list[dict[str, Any]] = []
        for number in range(100):
            at = AT + timedelta(seconds=number)
            row = (number, f"p{number}@example.com", f"City {number % 40}", number * 1.5)
            crm.execute("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", (*row, at.isoformat()))
            documents.append(
                {
                    "customerNo": row[0],
                    "email": row[1],
                    "address": {"city": row[2]},
                    "balance": row[3],
                    "updatedAt": at,
                }
            )
        crm.execute("UPDATE customers SET email = NULL WHERE id = 50")
    del documents[50]["email"]
    documents[7]["address"]["city"] = "Elsewhere"
    documents[9]["customerNo"] = 999
    client[name]["customers"].insert_many([*documents, {**documents[20]}])
    client[name]["customers"].create_index("customerNo")
    yield ferretdb_url.replace("/?", f"/{name}?authSource=admin&")
    client.drop_database(name)
    client.close()


def test_what_differs_in_mongodb_is_found_and_nothing_else(shop_url: str, tmp_path: Path) -> None:
    (tmp_path / "plumbline.yaml").write_text(MAP.format(place=tmp_path))
    words = {"SHOP_URL": shop_url, "AUDITOR_DIGEST_KEY": "k" * 32}
    done = auditor("once", "--json", cwd=tmp_path, **words)
    assert done.returncode == 1, done.stderr
    (told,) = json.loads(auditor("drift", "--json", cwd=tmp_path, **words).stdout)
    assert {each["key"]: (each["kind"], each["fields"]) for each in told["divergent_records"]} == {
        "7": ("value", "city"),
        "9": ("missing", ""),
        "20": ("duplicate", ""),
        "999": ("orphan", ""),
    }
    assert told["counts"] == {"divergent": 4, "pending": 0, "unverified": 0}


def test_the_doctor_says_what_is_slow_and_what_the_login_may_do(shop_url: str, tmp_path: Path) -> None:
    (tmp_path / "plumbline.yaml").write_text(MAP.format(place=tmp_path))
    done = auditor("doctor", cwd=tmp_path, SHOP_URL=shop_url, COLUMNS="400")
    assert done.returncode == 0, done.stderr
    assert "only commands that read are ever sent" in " ".join(done.stdout.split())
    assert "shop: customers.updatedAt has no index" in done.stdout
    assert "customers.customerNo has no index" not in done.stdout
    assert "secret-of-t" not in done.stdout + done.stderr
    wrong = auditor("doctor", cwd=tmp_path, SHOP_URL=shop_url.replace("secret-of-t", "wrong-secret"))
    assert wrong.returncode == 3
    assert "authSource" in wrong.stdout
    assert "wrong-secret" not in wrong.stdout + wrong.stderr


def test_a_first_map_is_proposed_from_what_the_documents_hold(shop_url: str, tmp_path: Path) -> None:
    done = auditor("discover", f"sqlite:///{tmp_path}/crm.sqlite", shop_url)
    assert done.returncode == 0, done.stderr
    assert 'kind: mongodb, url: "${' in done.stdout
    assert "key: customerNo, changed_at: updatedAt" in done.stdout
    assert '{city: "address.city"}' in done.stdout
    assert "secret-of-t" not in done.stdout
