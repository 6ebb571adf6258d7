"""From an API whose tokens do not last to verdicts about copies, through the map, the reader and the audit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from auditor.map.loader import load_map
from tests import ledgers
from tests.stand import swept
from tests.standins import faults
from tests.standins.oauth import CLIENT_ID, CLIENT_SECRET, OAuth

MAP = """\
systems:
  crm:
    kind: rest
    url: "${CRM}/api"
    budget: {timeout: 30s}
    auth:
      kind: oauth2_refresh_token
      token_url: "${CRM}/oauth/token"
      client_id: "${CLIENT_ID}"
      client_secret: "${CLIENT_SECRET}"
      refresh_token: "${REFRESH_TOKEN}"
  billing: {kind: sql, url: "sqlite:///${PLACE}/billing.sqlite", zone: UTC}
data_types:
  customer:
    owner: crm
    window: 1h
    fields: {name: {type: string}}
    in:
      crm:
        collection: customers
        key: id
        many: "/customers?ids={keys}"
        list: "/customers?after={after}&limit={limit}"
        limit: 10
        batch: 10
      billing: {collection: customers, key: id}
flows:
  to_billing: {data_type: customer, from: crm, to: billing, pattern: batch, every: 1h}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "billing.sqlite")) as billing, billing:
        billing.execute("CREATE TABLE customers (id text, name text)")
        rows = [(f"c{number:03}", f"n{number}") for number in range(100) if number != 7]
        rows[3] = ("c003", "another")
        billing.executemany("INSERT INTO customers VALUES (?, ?)", rows)
    (tmp_path / "map.yaml").write_text(MAP)
    return tmp_path


def test_tokens_that_end_in_the_middle_of_an_audit_change_no_verdict_and_stand_nowhere(place: Path) -> None:
    with OAuth() as server:
        server.customers = {f"c{number:03}": {"id": f"c{number:03}", "name": f"n{number}"} for number in range(100)}
        server.revoked_after = 3
        refresh = server.refresh_token()
        words = {"CRM": server.url, "PLACE": str(place), "CLIENT_ID": CLIENT_ID}
        words |= {"CLIENT_SECRET": CLIENT_SECRET, "REFRESH_TOKEN": refresh}
        server.fail(faults.refused(502), on="many")
        server.fail(faults.refused(429, retry_after="0"), on="many")
        ledger = ledgers.at(place / "ledger.sqlite")
        result = swept(load_map(place / "map.yaml", words), "to_billing", ledger)
        suspected = {row["key"] for row in ledgers.rows(ledger, "divergences")}
        ledger.close()
    assert result.error is None
    assert suspected == {"c003", "c007"}
    assert server.count("token") > 2
    assert any(call.status == 401 for call in server.calls)
    kept = b"".join(file.read_bytes() for file in place.glob("ledger.sqlite*"))
    for secret in (*server.issued, refresh, CLIENT_SECRET):
        assert secret.encode() not in kept
