"""From records in Salesforce to verdicts about their copies, through the map, the reader and the audit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from auditor.map.loader import load_map
from probes.records.salesforce import bulk
from tests import ledgers
from tests.stand import swept
from tests.standins.salesforce import APP, Salesforce

MAP = """\
systems:
  crm:
    kind: salesforce
    url: "${CRM}"
    client_id: "${CLIENT_ID}"
    client_secret: "${CLIENT_SECRET}"
    budget: {timeout: 30s}
  billing: {kind: sql, url: "sqlite:///${PLACE}/billing.sqlite", zone: UTC}
data_types:
  customer:
    owner: crm
    window: 1h
    key_type: salesforce_id
    fields:
      name: {type: string}
      balance: {type: decimal}
      regions: {type: set, separator: ";"}
      active: {type: boolean}
    in:
      crm:
        collection: Account
        key: Id
        changed_at: SystemModstamp
        fields: {name: Name, balance: Balance__c, regions: Regions__c, active: Active__c}
      billing: {collection: customers, key: id}
flows:
  to_billing: {data_type: customer, from: crm, to: billing, pattern: batch, every: 1h}
"""


def suspected(org: Salesforce, place: Path, map_text: str, flow: str) -> set[str]:
    """The keys of the records that differ, after a whole sweep without an error."""
    file = place / "map.yaml"
    file.write_text(map_text)
    words = {"CRM": org.url, "PLACE": str(place), "CLIENT_ID": APP.client_id, "CLIENT_SECRET": APP.client_secret}
    with closing(ledgers.at(place / "ledger.sqlite")) as ledger:
        assert swept(load_map(file, words), flow, ledger).error is None
        return {row["key"] for row in ledgers.rows(ledger, "divergences")}


def test_copies_are_compared_with_their_records(tmp_path: Path) -> None:
    with Salesforce() as org:
        org.clock.advance(-7 * 24 * 3600)  # long ago, so that every window has passed
        ids = [
            org.put("Account", Name=f"A{n}", Balance__c="1.50", Regions__c="North;East", Active__c=True)
            for n in range(6)
        ]
        gone = org.put("Account", Name="Gone")
        org.delete(gone)
        org.clock.stand_at(None)
        with closing(sqlite3.connect(tmp_path / "billing.sqlite")) as billing, billing:
            billing.execute("CREATE TABLE customers (id text, name text, balance text, regions text, active integer)")
            rows = [(key, f"A{n}", "1.5", "East;North", 1) for n, key in enumerate(ids)]
            rows[1] = (ids[1], "other", "1.50", "North;East", 1)  # a wrong name
            rows[2] = (ids[2], "A2", "1.50", "North", 1)  # a region too few
            del rows[3]
            billing.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", rows)
        assert suspected(org, tmp_path, MAP, "to_billing") == {ids[1], ids[2], ids[3]}


TO_CRM = """\
systems:
  crm:
    kind: salesforce
    url: "${CRM}"
    client_id: "${CLIENT_ID}"
    client_secret: "${CLIENT_SECRET}"
    budget: {timeout: 30s}
  billing: {kind: sql, url: "sqlite:///${PLACE}/billing.sqlite", zone: UTC}
data_types:
  customer:
    owner: billing
    window: 1h
    fields: {name: {type: string}}
    in:
      billing: {collection: customers, key: number}
      crm: {collection: Account, key: Customer_Number__c, fields: {name: Name}}
flows:
  to_crm: {data_type: customer, from: billing, to: crm, pattern: batch, every: 1h}
"""


def test_a_large_target_is_swept_by_a_query_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "WORTHWHILE", 10)
    monkeypatch.setattr(bulk, "LEAST_LIMIT", 1)
    monkeypatch.setattr(bulk, "FIRST_PAUSE_S", 0.01)
    with Salesforce() as org:
        org.clock.advance(-7 * 24 * 3600)
        for number in range(12):
            org.put("Account", Name=f"A{number}", Customer_Number__c=f"C-{number}")
        org.put("Account", Name="nobody's", Customer_Number__c="C-orphan")
        org.clock.stand_at(None)
        with closing(sqlite3.connect(tmp_path / "billing.sqlite")) as billing, billing:
            billing.execute("CREATE TABLE customers (number text, name text)")
            rows = [(f"C-{number}", f"A{number}") for number in range(12)]
            billing.executemany("INSERT INTO customers VALUES (?, ?)", [*rows, ("C-missing", "missing")])
        assert suspected(org, tmp_path, TO_CRM, "to_crm") == {"C-orphan", "C-missing"}
        assert org.calls["job_create"] == 1
        assert org.calls["job_results"] == 1
