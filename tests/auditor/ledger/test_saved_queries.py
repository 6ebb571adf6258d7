"""Saved queries in a ledger of either kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from auditor.history.lens import Lens
from auditor.ledger import Ledger
from checks.saved_queries import SavedQuery
from tests.auditor.ledger.rows import NOW

LATER = NOW + timedelta(minutes=5)


def add(ledger: Ledger, name: str, **values: Any) -> int:
    fixed = {"description": "", "sql": "SELECT 1", "who": "ada", "known_by": "k", "at": NOW}
    with ledger.write() as transaction:
        return ledger.saved_queries.add(transaction, name=name, **{**fixed, **values})


def test_a_query_is_kept_changed_and_deleted_with_who_did_it(ledger: Ledger) -> None:
    number = add(ledger, "Zebra", description="d", sql="SELECT '\0\ud800'")
    add(ledger, "apple")
    kept = SavedQuery(
        query_id=number,
        name="Zebra",
        description="d",
        sql="SELECT '\0\ud800'",
        who="ada",
        known_by="k",
        made_at=NOW,
    )
    assert ledger.saved_queries.listed()[1] == kept
    with ledger.write() as transaction:
        change = ledger.saved_queries.change
        change(transaction, number, who="bob", known_by="l", at=LATER, name="aardvark")
        assert [each.name for each in ledger.saved_queries.present(transaction)] == ["aardvark", "apple"]
    changed = ledger.saved_queries.listed()[0]
    assert (changed.sql, changed.who, changed.made_at) == (kept.sql, "ada", NOW)
    assert (changed.changed_by, changed.changed_known_by, changed.changed_at) == ("bob", "l", LATER)
    with ledger.write() as transaction:
        ledger.saved_queries.delete(transaction, number, who="eve", known_by="m", at=LATER)
    assert [each.name for each in ledger.saved_queries.listed()] == ["apple"]


def test_the_view_shows_what_was_deleted_too(ledger: Ledger) -> None:
    number = add(ledger, "x")
    lens = Lens(ledger)
    lens.refresh()
    assert lens.query("SELECT name, deleted_at FROM saved_queries").to_pylist() == [{"name": "x", "deleted_at": None}]
    with ledger.write() as transaction:
        ledger.saved_queries.delete(transaction, number, who="eve", known_by="m", at=LATER)
    lens.refresh()
    told = "SELECT name, changed_by, deleted_at IS NOT NULL AS deleted FROM saved_queries"
    assert lens.query(told).to_pylist() == [{"name": "x", "changed_by": "eve", "deleted": True}]
    lens.close()
