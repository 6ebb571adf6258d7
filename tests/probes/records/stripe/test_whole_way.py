"""From objects in Stripe to verdicts about their copies, through the map, the reader and the audit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.audit.flow_audit import Auditor
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import check_map, load_map
from auditor.systems.discovery import discover
from auditor.systems.doctor import examine
from auditor.systems.proposed_map import as_yaml, new_system
from auditor.systems.reader import open_readers
from tests import ledgers
from tests.stand import swept
from tests.standins import faults
from tests.standins.stripe import SECRET_KEY, Stripe

MAP = """\
version: 1
systems:
  stripe: {kind: stripe, key: "${KEY}", url: "${STRIPE}", budget: {timeout: 30s}}
  books: {kind: sql, url: "sqlite:///${PLACE}/books.sqlite", zone: UTC}
data_types:
  invoice:
    owner: stripe
    window: 1h
    fields:
      total: {type: money, currency: {from: currency}, minor_units: [stripe]}
      currency: {casefold: [stripe]}
      due: {type: timestamp}
      mail: {}
      crm: {null_is: [missing]}
    in:
      stripe:
        collection: invoices
        key: id
        changed_at: event.created
        fields: {due: due_date, mail: customer.email, crm: metadata.crm_id}
      books: {collection: invoices, key: id}
flows:
  to_books: {data_type: invoice, from: stripe, to: books, pattern: batch, every: 1h}
"""
DUE = datetime(2026, 12, 1, tzinfo=UTC)


class Place:
    """An account, its copies in a database, and a map between them."""

    def __init__(self, folder: Path, account: Stripe) -> None:
        self.folder, self.account = folder, account
        account.each_operation = account.everything.most = 10_000
        self.customer = account.create("customer", email="ann@x.example")
        self.file = folder / "map.yaml"
        self.file.write_text(MAP)
        self.ledger = ledgers.at(folder / "ledger.sqlite")
        self.words = {"KEY": SECRET_KEY, "STRIPE": account.url, "PLACE": str(folder)}
        with closing(sqlite3.connect(folder / "books.sqlite")) as books, books:
            books.execute("CREATE TABLE invoices (id text, total text, currency text, due text, mail text, crm text)")

    def invoice(self, total: int, currency: str, **given: Any) -> str:
        """A new invoice in Stripe."""
        return self.account.create(
            "invoice",
            customer=self.customer,
            total=total,
            currency=currency,
            due_date=int(DUE.timestamp()),
            metadata={"crm_id": "7"},
            **given,
        )

    def copy(self, key: str, total: str, currency: str, mail: str = "ann@x.example") -> None:
        """Its copy."""
        with closing(sqlite3.connect(self.folder / "books.sqlite")) as books, books:
            books.execute("DELETE FROM invoices WHERE id = ?", (key,))
            row = (key, total, currency, "2026-12-01T00:00:00Z", mail, "7")
            books.execute("INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?)", row)

    def map(self) -> IntegrationMap:
        return load_map(self.file, self.words)

    def rows(self, source: str) -> list[dict[str, object]]:
        """What the ledger holds in a table."""
        return ledgers.rows(self.ledger, source)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Stripe() as account:
        made = Place(tmp_path, account)
        yield made
        made.ledger.close()


def test_copies_are_compared_with_their_objects(place: Place) -> None:
    place.account.clock.advance(-7 * 24 * 3600)  # long ago, so that every window has passed
    right = {
        place.invoice(1250, "usd"): ("12.50", "USD"),
        place.invoice(500, "jpy"): ("500", "JPY"),
        place.invoice(5120, "kwd"): ("5.12", "KWD"),
        place.invoice(500, "isk"): ("5", "ISK"),
        place.invoice(500, "ugx"): ("5.00", "UGX"),
        place.invoice(500, "mga"): ("500", "MGA"),
    }
    wrong, other, gone, lacking = (place.invoice(99, "usd") for _ in range(4))
    place.account.clock.advance(7 * 24 * 3600)
    for key, (total, currency) in right.items():
        place.copy(key, total, currency)
    place.copy(wrong, "99", "USD")
    place.copy(other, "0.99", "USD", mail="other@x.example")
    place.copy(gone, "0.99", "USD")
    place.copy("in_unheard_of", "0.99", "USD")
    result = swept(place.map(), "to_books", place.ledger)
    assert result.error is None
    told = {str(row["key"]): row["fields"] for row in place.rows("divergences")}
    assert {key: told[key] for key in (wrong, other)} == {wrong: "total", other: "mail"}
    assert {*told} == {wrong, other, lacking, "in_unheard_of"}
    assert "search" not in " ".join(call.operation for call in place.account.calls)


def test_changes_are_followed_by_their_events(place: Place) -> None:
    key = place.invoice(1250, "usd")
    place.copy(key, "12.50", "USD")
    integration_map = place.map()
    readers = open_readers(integration_map)
    auditor = Auditor(
        flow=integration_map.flow("to_books"),
        source=readers["stripe"],
        target=readers["books"],
        ledger=place.ledger,
        digest_key=b"k" * 32,
        others=readers,
    )
    while not auditor.audit(datetime.now(UTC)).swept:
        pass
    place.account.update("invoice", key, total=2000)
    result = auditor.audit(datetime.now(UTC))
    assert (result.error, result.changes) == (None, 1)
    (change,) = place.rows("changes")
    assert (change["key"], change["operation"]) == (key, "update")
    assert change["stamped_at"] is not None
    for reader in readers.values():
        reader.close()


def test_an_object_that_moves_between_two_looks_is_not_noise(place: Place) -> None:
    key = place.invoice(1250, "usd")
    place.copy(key, "99", "USD")
    reads = 0

    def moved(answer: Any) -> Any:
        nonlocal reads
        reads += 1
        place.account.update("invoice", key, total=2000 + reads)
        return answer

    place.account.fail(faults.Fault(name="moves", after=moved), on="read_invoices", times=20)
    swept(place.map(), "to_books", place.ledger)
    assert reads > 0
    assert [row for row in place.rows("noise") if row["system"] == "stripe" and row["differed"]] == []


def test_the_map_passes_check_and_says_what_a_key_costs(place: Place) -> None:
    assert check_map(place.file, place.words)[1] == []
    place.file.write_text(MAP.replace("key: id\n        changed_at", "key: metadata.crm_id\n        changed_at"))
    (remark,) = check_map(place.file, place.words)[1]
    assert "walks the whole list" in str(remark)
    assert "data_types.invoice.in.stripe.key" in str(remark)


def test_the_doctor_recommends_a_restricted_key_and_finds_no_fault_in_stamps(place: Place) -> None:
    place.invoice(1250, "usd")
    (report,) = [each for each in examine(place.map(), seed=None, steps={}) if each.system == "stripe"]
    assert report.ok
    assert "only GET is ever sent" in report.read_only
    assert len([each for each in report.remarks if "restricted key" in each]) == 1
    assert not [each for each in report.remarks if "no instant" in each]


def test_a_map_is_proposed_from_what_both_hold(place: Place) -> None:
    for at in range(8):
        place.copy(place.invoice(1250 + at, "usd"), str(1250 + at), "usd", mail=f"c{at}")
    readers = open_readers(place.map())
    found = discover(readers["stripe"], readers["books"])
    for reader in readers.values():
        reader.close()
    (match,) = found.matches
    assert (match.left.name, match.right.name, match.common) == ("invoices", "invoices", 8)
    pairs = {each.left.name: each.right.name for each in match.fields}
    assert pairs["total"] == "total"
    assert pairs["metadata.crm_id"] == "crm"
    text = as_yaml(found, ("  stripe: {kind: stripe, key: x}", new_system("books", "sql", "sqlite:///x.sqlite")))
    file = place.folder / "proposed.yaml"
    file.write_text(text)
    assert load_map(file, {}).bindings
