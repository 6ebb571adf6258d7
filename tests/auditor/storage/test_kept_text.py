"""Every text column of the ledger takes every text, on both kinds of ledger, and gives it back exactly."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from auditor.history.archive import archive_settled
from auditor.history.lens import Lens
from auditor.ledger import SETTLED, Ledger, LedgerError
from auditor.ledger import tables as t
from auditor.storage.kept_text import MARK, kept, restored
from tests.attacks.texts import TEXTS
from tests.auditor.dashboard.conftest import released, watched
from tests.auditor.dashboard.page_runs import PAGES, drift, run
from tests.stand import Stand

__all__ = ["released", "watched"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANY = st.text(st.one_of(st.characters(), st.sampled_from([*f"\0\ud800\udfff{MARK}0246d8f"])), max_size=20)


@given(ANY, ANY)
def test_texts_are_kept_exactly_and_told_apart(one: str, other: str) -> None:
    for text in (one, other):
        held = kept(text)
        assert restored(held) == text
        assert "\0" not in held
        held.encode()
    assert (kept(one) == kept(other)) == (one == other)


@given(st.text(st.characters(exclude_characters=f"\0{MARK}", exclude_categories=["Cs"])))
def test_what_a_database_takes_is_kept_as_it_is(text: str) -> None:
    assert kept(text) == text


def row_of(table: sa.Table, text: str, number: int) -> dict[str, Any]:
    """A row whose every text is this one."""
    row: dict[str, Any] = {}
    for column in table.c:
        if isinstance(column.type, t.Text):
            row[column.name] = text
        elif isinstance(column.type, t.Instant):
            row[column.name] = NOW
        elif isinstance(column.type, sa.LargeBinary):
            row[column.name] = b"\0\xff"
        elif isinstance(column.type, sa.Boolean):
            row[column.name] = True
        else:
            row[column.name] = number
    return row


TABLES = [each.name for each in t.metadata.sorted_tables if any(isinstance(column.type, t.Text) for column in each.c)]


def test_no_text_column_is_without_it() -> None:
    plain = [
        str(column)
        for table in t.metadata.tables.values()
        for column in table.c
        if isinstance(column.type, sa.String) and not isinstance(column.type, t.Text)
    ]
    assert plain == []
    assert len(TABLES) > 15


def test_every_column_of_every_table_takes_every_text(ledger: Ledger) -> None:
    for number, text in enumerate(TEXTS.values(), start=100):
        with ledger.database.unnumbered() as connection:
            for name in TABLES:
                table = t.metadata.tables[name]
                connection.execute(sa.insert(table).values(**row_of(table, text, number)))
    for name in TABLES:
        table = t.metadata.tables[name]
        texts = [column for column in table.c if isinstance(column.type, t.Text)]
        with ledger.database.read() as connection:
            for column in texts:
                held = set(connection.execute(sa.select(column)).scalars())
                assert held >= set(TEXTS.values()), column
            for text in TEXTS.values():
                found = connection.execute(sa.select(*texts).where(texts[0] == text)).all()
                assert [tuple(row) for row in found] == [(text,) * len(texts)], name


def test_the_archive_and_the_views_hold_what_the_ledger_holds(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.database.unnumbered() as connection:
        for number, text in enumerate(TEXTS.values(), start=1):
            for name in SETTLED:
                table = t.metadata.tables[name]
                connection.execute(
                    sa.insert(table).values(
                        **row_of(table, text, number),
                    )
                )
    expected = sorted(map(kept, TEXTS.values()))
    lens = Lens(ledger)
    lens.refresh()

    def seen(view: str, column: str) -> list[str]:
        told = lens.query(f"SELECT {column} FROM {view}")
        return sorted(told.column(column).to_pylist())

    looked_at = [("divergences", "key"), ("dead_letters", "reason"), ("changes", "key"), ("backlogs", "message")]
    for view, column in looked_at:
        assert seen(view, column) == expected
    moved = archive_settled(ledger, str(tmp_path / "archive"), NOW + timedelta(days=2))
    assert moved == len(TEXTS) * len(SETTLED)
    lens.refresh()
    fresh = Lens(ledger)
    fresh.refresh()
    for view, column in looked_at:
        assert seen(view, column) == expected
        told = fresh.query(f"SELECT {column} FROM {view}").column(column).to_pylist()
        assert sorted(map(restored, told)) == sorted(TEXTS.values())
    lens.close()
    fresh.close()


@pytest.mark.parametrize("wrong", ["too large a number", "nothing where something must be"])
def test_what_a_ledger_refuses_is_told_without_its_values(ledger: Ledger, wrong: str) -> None:
    table = t.metadata.tables["conflicts"]
    row = row_of(table, "a secret of the record", 1)
    row |= {"divergence_id": 2**70} if wrong == "too large a number" else {"why": None}
    with pytest.raises((LedgerError, OverflowError)) as failed, ledger.database.unnumbered() as connection:
        connection.execute(sa.insert(table).values(**row))
    logged = "".join(traceback.format_exception(failed.value))
    assert "a secret of" not in logged.replace('"a secret of the record", 1', "")
    assert "INSERT" not in str(failed.value)
    assert ledger.database.engine.hide_parameters


TOLD = {
    "systems": ["message"],
    "probe_runs": ["message"],
    "unverified": ["reason"],
    "backlogs": ["message"],
    "dead_letters": ["reason", "payload", "letter_id"],
    "incidents": ["summary"],
    "conflicts": ["why", "assignee"],
    "decisions": ["who", "text"],
    "alerts": ["error"],
}
"""Columns that hold what a system, a message or a person says."""


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_whatever_is_kept(page: str, watched: Stand) -> None:
    drift(watched)
    with watched.ledger.database.unnumbered() as connection:
        for name in ("unverified", "conflicts", "decisions"):
            row = {**row_of(t.metadata.tables[name], "to_billing", 7), "closed_at": None, "cleared_at": None}
            row |= {"conflict_id": 7, "state": "open", "key": "3\0", "data_type": "customer", "rev": 10_000}
            row |= {"cause": "write_conflict", "act": "comment"}
            known = {column.name for column in t.metadata.tables[name].c}
            connection.execute(
                sa.insert(t.metadata.tables[name]).values(**{word: row[word] for word in row if word in known})
            )
        for name, columns in TOLD.items():
            text = "\0 \ud800 said \udfff"
            table = t.metadata.tables[name]
            rev = {"rev": 10_000} if "rev" in table.c else {}
            connection.execute(sa.update(table).values(**dict.fromkeys(columns, text), **rev))
    shown = run(page, conflict="7")
    assert not shown.exception
