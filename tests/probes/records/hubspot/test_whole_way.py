"""From records in HubSpot to verdicts about their copies, through the map, the reader and the audit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from auditor.map.loader import load_map
from auditor.map.problems import MapError
from tests import ledgers
from tests.stand import swept
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot

MAP = """\
systems:
  hubspot: {kind: hubspot, url: "${HUBSPOT}", token: "${TOKEN}", budget: {timeout: 30s}}
  billing: {kind: sql, url: "sqlite:///${PLACE}/billing.sqlite", zone: UTC}
data_types:
  contact:
    owner: hubspot
    window: 15m
    fields:
      phone: {null_is: {billing: [empty]}}
      interests: {type: set}
      consent: {type: boolean}
      companies: {type: set}
    in:
      hubspot:
        collection: contacts
        key: email
        changed_at: lastmodifieddate
        fields: {companies: associations.companies}
      billing: {collection: contacts, key: email, changed_at: updated_at}
flows:
  to_billing: {data_type: contact, from: hubspot, to: billing, pattern: batch}
"""


def words(account: str, place: Path) -> dict[str, str]:
    return {"HUBSPOT": account, "TOKEN": PRIVATE_APP_TOKEN, "PLACE": str(place)}


def test_copies_are_compared_with_their_records(tmp_path: Path) -> None:
    with HubSpot() as account:
        account.add_property("contacts", "interests", "enumeration")
        account.add_property("contacts", "consent", "bool")
        account.clock.advance(-7 * 24 * 3600)  # long ago, so that every window has passed
        company = account.create("companies", name="Acme")
        for at in range(7):
            one = account.create(
                "contacts", email=f"c{at}@example.com", phone=str(at), interests="news;events", consent="true"
            )
            account.associate("contacts", one, "companies", company)
        account.update("contacts", one, phone=None)
        gone = account.create("contacts", email="gone@example.com")
        account.archive("contacts", gone)
        account.clock.stand_at(None)
        with closing(sqlite3.connect(tmp_path / "billing.sqlite")) as billing, billing:
            billing.execute(
                "CREATE TABLE contacts (email text, phone text, interests text, consent integer, companies text, "
                "updated_at text)"
            )
            stamp = "2026-01-01T00:00:00Z"
            rows = [(f"c{at}@example.com", str(at), "events;news", 1, company, stamp) for at in range(7)]
            rows[1] = (*rows[1][:1], "other", *rows[1][2:])
            rows[2] = (*rows[2][:2], "news", *rows[2][3:])
            rows[4] = (*rows[4][:4], "4", stamp)
            rows[6] = (*rows[6][:1], "", *rows[6][2:])  # HubSpot has cleared it
            del rows[3]
            billing.executemany("INSERT INTO contacts VALUES (?, ?, ?, ?, ?, ?)", rows)
        (tmp_path / "map.yaml").write_text(MAP)
        ledger = ledgers.at(tmp_path / "ledger.sqlite")
        result = swept(load_map(tmp_path / "map.yaml", words(account.url, tmp_path)), "to_billing", ledger)
        suspected = {row["key"] for row in ledgers.rows(ledger, "divergences")}
        ledger.close()
        assert result.error is None
        assert suspected == {f"c{at}@example.com" for at in (1, 2, 3, 4)}


def test_a_window_shorter_than_the_lag_of_the_search_is_refused_at_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(MAP.replace("window: 15m", "window: 1m"))
    with pytest.raises(MapError, match="below the 5 min"):
        load_map(file, words("http://127.0.0.1:1", tmp_path))
    turned = MAP.replace("owner: hubspot", "owner: billing").replace(
        "from: hubspot, to: billing", "from: billing, to: hubspot"
    )
    file.write_text(turned.replace("window: 15m", "window: 1m"))
    assert load_map(file, words("http://127.0.0.1:1", tmp_path)).flow("to_billing").overlap_s == 10


def test_changes_are_looked_for_as_far_back_as_the_search_may_lag(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(MAP)
    assert load_map(file, words("http://127.0.0.1:1", tmp_path)).flow("to_billing").overlap_s == 300
    file.write_text(MAP.replace("pattern: batch", "pattern: batch, overlap: 10m"))
    assert load_map(file, words("http://127.0.0.1:1", tmp_path)).flow("to_billing").overlap_s == 600
