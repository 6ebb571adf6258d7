"""Nothing from which the value of a private field follows, in no place that is kept or shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from auditor.history.archive import archive_settled, arrow_table, write_file
from auditor.history.lens import Lens
from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.storage.private_evidence import cleaned, without_sizes
from checks.difference_kinds import KINDS
from checks.unreadable import DESCRIBED
from tests.auditor.cli.process import auditor
from tests.auditor.dashboard.conftest import released, watched
from tests.auditor.dashboard.page_runs import PAGES, run, text
from tests.auditor.older_ledger import made_at
from tests.stand import Stand

__all__ = ["released", "watched"]

FIELDS = """\
      name: {type: string}
      amount: {type: decimal}
      updated_at: {type: timestamp}
"""
SECRETS = ["Wilhelmina", "Wilhel", "524287.31", "13.37", "524273.94", "11:22:33", "00:07:41"]
"""What the records hold, and what lies between it: no surface may show any of it."""


def differing(stand: Stand) -> None:
    stand.remap(
        "      name: {type: string, evidence: clear}\n"
        "      amount: {type: decimal, evidence: clear, valid: {min: 0}}\n",
        FIELDS,
    )
    stand.clock.advance(-10)  # so that all of it lies in the past when pages and commands look at it
    stand.agree(4)
    for system, values in (
        ("crm", "name = 'Wilhelmina', amount = '524287.31', updated_at = '2026-03-01 11:22:33'"),
        ("billing", "name = 'Wilhel', amount = '13.37', updated_at = '2026-03-01 11:30:14'"),
    ):
        stand.run(system, f"UPDATE customers SET {values} WHERE id = 3")
    stand.run("billing", "UPDATE customers SET amount = 'Wilhelmina' WHERE id = 2")
    stand.sweep()
    stand.audit_until(lambda: {"3"} & {row["key"] for row in stand.ledger.findings.open_records()})
    assert stand.clock.now() < datetime.now(UTC)


def test_no_surface_shows_what_belongs_to_one_record(watched: Stand) -> None:
    differing(watched)
    told = watched.ledger.findings.open_records()
    kept = [each for row in told for each in json.loads(row["differences"])]
    assert {each["field"] for each in kept} >= {"name", "amount", "updated_at"}
    for each in kept:
        assert each["pattern"] in KINDS
        shown = {
            each[side].removeprefix("cannot be read: not a decimal: ") for side in ("owner_value", "target_value")
        }
        assert shown <= DESCRIBED
    assert {each["pattern"] for each in kept} >= {"cut", "lower", "later"}

    said_by = {page: text(run(page)) for page in PAGES}
    words = ["--map", watched.map_file, "--data", watched.place / "var"]
    asked = [
        ("status", *words),
        ("status", "--json", *words),
        ("incidents", "--json", "--data", watched.place / "var"),
        ("conflicts", "--data", watched.place / "var"),
        ("query", "SELECT * FROM divergences", "--data", watched.place / "var", "--format", "csv"),
        ("query", "SELECT * FROM unverified", "--data", watched.place / "var", "--format", "json"),
        ("query", "SELECT * FROM alerts", "--data", watched.place / "var", "--format", "json"),
    ]
    for command in asked:
        done = auditor(*command, cwd=None, AUDITOR_LEDGER=watched.ledger_url)
        said_by[" ".join(map(str, command[:2]))] = done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    for table in t.metadata.sorted_tables:
        if not any(isinstance(each.type, t.Text) for each in table.c):
            continue
        with watched.ledger.database.read() as connection:
            rows = connection.execute(sa.select(*(each for each in table.c if isinstance(each.type, t.Text)))).all()
        said_by[f"ledger: {table.name}"] = repr(rows)
    for place, said in said_by.items():
        for secret in SECRETS:
            assert secret not in said, place
        assert "text of " not in said, place


OLD = [
    {"field": "a", "shape": "value", "owner_value": "a number", "target_value": "a number", "pattern": "+123456.78"},
    {"field": "b", "shape": "truncated", "owner_value": "text of 12 characters", "pattern": "cut at 5",
     "target_value": "text of 5 characters"},
    {"field": "c", "shape": "value", "owner_value": "a whole number", "target_value": "a whole number",
     "pattern": "-00:07:41"},
    {"field": "d", "shape": "zone_shifted", "owner_value": "a whole number", "target_value": "a whole number",
     "pattern": "+02:00"},
    {"field": "e", "shape": "value", "owner_value": "1***4 (6)", "target_value": "2***9 (6)", "pattern": "+12345"},
    {"field": "f", "shape": "value", "owner_value": "10", "target_value": "12", "pattern": "+2"},
    {"field": "g", "shape": "unreadable", "owner_value": "cannot be read: not a decimal: text of 9 characters",
     "target_value": "a number"},
]  # fmt: skip
DETAIL = "a: +123456.78; b: cut at 5; f: +2"
AFTER = {"a": "higher", "b": "cut", "c": "earlier", "d": "+02:00", "e": "higher", "f": "+2", "g": ""}


def holds_nothing(told: str, detail: str) -> None:
    kept = {each["field"]: each for each in json.loads(told)}
    assert {name: each["pattern"] for name, each in kept.items()} == AFTER
    assert kept["b"]["owner_value"] == kept["b"]["target_value"] == "text"
    assert kept["g"]["owner_value"] == "cannot be read: not a decimal: text"
    assert (kept["e"]["owner_value"], kept["f"]["owner_value"]) == ("1***4 (6)", "10")
    assert detail == "a: higher; b: cut; f: +2"


def test_what_was_kept_before_is_brought_down(tmp_path: Path) -> None:
    holds_nothing(*cleaned(json.dumps(OLD), DETAIL))
    once = cleaned(json.dumps(OLD), DETAIL)
    assert cleaned(*once) == once
    assert cleaned("no JSON", "x") == ("no JSON", "x")
    assert without_sizes("amount: not a decimal: 12 bytes") == "amount: not a decimal: bytes"


def old_row(ledger: Ledger, number: int, closed_at: datetime | None) -> None:
    row: dict[str, Any] = {}
    for column in t.divergences.c:
        if column.nullable or column.name == "id":
            continue
        kinds = {t.Instant: datetime(2026, 1, 1, tzinfo=UTC), t.Text: "x", sa.LargeBinary: b"", sa.Boolean: False}
        row[column.name] = next((held for type_, held in kinds.items() if isinstance(column.type, type_)), 1)
    row |= {
        "key": str(number),
        "rev": number,
        "differences": json.dumps(OLD),
        "detail": DETAIL,
        "closed_at": closed_at,
    }
    with ledger.database.unnumbered() as connection:
        connection.execute(sa.insert(t.divergences).values(**row))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_older_ledger_is_cleaned_when_it_is_upgraded(request: pytest.FixtureRequest, kind: str) -> None:
    ledger = made_at(request.getfixturevalue(f"{kind}_url"), "0010")
    for number in range(1, 4):
        old_row(ledger, number, None)
    ledger.migrate()
    rows = ledger.exports.table("divergences")
    assert len(rows) == 3
    for row in rows:
        holds_nothing(row["differences"], row["detail"])
    ledger.close()


def test_the_archive_of_an_earlier_version_is_written_again(sqlite_url: str, tmp_path: Path) -> None:
    ledger = Ledger(sqlite_url)
    ledger.migrate()
    closed = datetime(2026, 1, 2, tzinfo=UTC)
    old_row(ledger, 1, closed)
    columns = ledger.exports.columns("divergences")
    rows = ledger.exports.settled_rows("divergences", closed + timedelta(days=1), 10)
    location = str(tmp_path / "archive")
    path = write_file(location, "divergences", "2026-01-02", arrow_table(columns, rows))
    pq.write_table(pq.read_table(path).replace_schema_metadata({}), path)  # as an earlier version wrote it
    ledger.exports.hand_over("divergences", [1], path=path, day="2026-01-02", now=closed)
    lens = Lens(ledger)
    lens.refresh()
    archive_settled(ledger, location, closed + timedelta(days=2))
    lens.refresh()
    (file,) = ledger.exports.archive_files("divergences")
    assert file.path != path
    for each in (lens, Lens(ledger)):
        each.refresh()
        (row,) = each.query("SELECT differences, detail FROM divergences").to_pylist()
        holds_nothing(row["differences"], row["detail"])
        each.close()
    archive_settled(ledger, location, closed + timedelta(days=2))
    assert ledger.exports.archive_files("divergences") == [file]
    ledger.close()
