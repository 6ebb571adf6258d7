"""What an earlier version kept under other names is found under today's, wherever it lies."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from auditor.cli.options import causes_failing
from auditor.history.archive import archive_settled, arrow_table, write_file
from auditor.history.lens import Lens
from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.storage.renamed_words import BREACHES, CAUSES, renamed_differences
from checks.breaches import Breach
from checks.cause import Cause
from tests.auditor.older_ledger import made_at

AT = datetime(2026, 1, 2, tzinfo=UTC)
KEPT = json.dumps([{"field": "a", "cause": "conflict"}, {"field": "b", "cause": "late", "pattern": "conflict"}])
NOW = [{"field": "a", "cause": "write_conflict"}, {"field": "b", "cause": "late", "pattern": "conflict"}]


def row_of(table: sa.Table, **values: Any) -> dict[str, Any]:
    """A row with anything in every column that must hold something."""
    row: dict[str, Any] = {}
    for column in table.c:
        if column.nullable or column.name == "id":
            continue
        kinds = {t.Instant: AT, t.Text: "x", sa.LargeBinary: b"", sa.Boolean: False}
        row[column.name] = next((held for type_, held in kinds.items() if isinstance(column.type, type_)), 1)
    return row | values


def test_only_causes_are_renamed() -> None:
    assert json.loads(renamed_differences(KEPT)) == NOW
    for same in ("no JSON", "[]", '{"cause": "conflict"}', json.dumps(NOW)):
        assert renamed_differences(same) == same
    assert {*CAUSES.values()} <= {*Cause}
    assert not {*CAUSES} & {*Cause}
    assert {*BREACHES.values()} <= {*Breach}
    assert not {*BREACHES} & {*Breach}


def test_a_command_line_of_before_means_the_same() -> None:
    assert causes_failing("conflict, late") == causes_failing("write_conflict,late") == {"write_conflict", "late"}


OF_THEN = {"rev", "flow", "breach", "fingerprint", "state", "opened_at", "count", "peak", "reopened", "summary"}
"""Columns of incidents that a ledger of before has, and needs."""


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_ledger_of_before_is_renamed_when_it_is_upgraded(request: pytest.FixtureRequest, engine: str) -> None:
    ledger = made_at(request.getfixturevalue(f"{engine}_url"), "0011")
    with ledger.database.unnumbered() as connection:
        for key, cause in (("1", "conflict"), ("2", "late")):
            connection.execute(
                sa.insert(t.divergences).values(row_of(t.divergences, key=key, cause=cause, differences=KEPT))
            )
            connection.execute(sa.insert(t.conflicts).values(row_of(t.conflicts, key=key, cause=cause)))
        for breach, fingerprint in (
            ("undecided", "flow/orders/undecided"),
            ("conflict", "flow/orders/conflict"),
            ("conflict", "kept as it is"),
            ("late", "flow/undecided/late"),
        ):
            held = row_of(t.incidents, flow="orders", breach=breach, fingerprint=fingerprint)
            held = {name: value for name, value in held.items() if name in OF_THEN}
            connection.execute(sa.insert(t.incidents).values(held))
    ledger.migrate()
    rows = {
        name: sorted(ledger.exports.table(name), key=lambda row: row["id"])
        for name in ("divergences", "conflicts", "incidents")
    }
    ledger.close()
    assert [each["cause"] for each in rows["divergences"]] == ["write_conflict", "late"]
    assert [json.loads(each["differences"]) for each in rows["divergences"]] == [NOW, NOW]
    assert [each["cause"] for each in rows["conflicts"]] == ["write_conflict", "late"]
    assert [(each["breach"], each["fingerprint"]) for each in rows["incidents"]] == [
        ("conflicts_waiting", "flow/orders/conflicts_waiting"),
        ("write_conflict", "flow/orders/write_conflict"),
        ("write_conflict", "kept as it is"),
        ("late", "flow/undecided/late"),
    ]


def test_the_archive_of_before_is_written_again(sqlite_url: str, tmp_path: Path) -> None:
    ledger = Ledger(sqlite_url)
    ledger.migrate()
    with ledger.database.unnumbered() as connection:
        held = row_of(t.divergences, key="1", cause="conflict", differences=KEPT, closed_at=AT)
        connection.execute(sa.insert(t.divergences).values(held))
    columns = ledger.exports.columns("divergences")
    rows = ledger.exports.settled_rows("divergences", AT + timedelta(days=1), 10)
    location = str(tmp_path / "archive")
    path = write_file(location, "divergences", "2026-01-02", arrow_table(columns, rows))
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"plumbline.evidence": b"kinds"}), path)
    ledger.exports.hand_over("divergences", [rows[0][0]], path=path, day="2026-01-02", now=AT)
    archive_settled(ledger, location, AT + timedelta(days=2))
    lens = Lens(ledger)
    lens.refresh()
    (row,) = lens.query("SELECT cause, family, differences FROM divergences").to_pylist()
    lens.close()
    ledger.close()
    fields = [each["cause"] for each in json.loads(row["differences"])]
    assert (row["cause"], row["family"], fields) == ("write_conflict", "ownership", ["write_conflict", "late"])
