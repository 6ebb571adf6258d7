"""Texts of a SQLite database that are not UTF-8 concern the row that holds them, and no other."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from probes.contract import ReadSpec, Row
from probes.queues.sql_queue import SqlQueueProbe, SqlQueueSettings
from probes.ranking import RANKS, rank_of
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from tests.auditor.cli.process import auditor

SEED = "0123456789abcdef" * 2
NOT_UTF8 = ("ff41", "eda08041", "41c3", "f4908080", "c080")
"""A byte that begins nothing, half of a pair, a cut character, one beyond the last, a NUL in two bytes."""
GOOD = [f"k{number}" for number in range(20)] + ["\U0001f600", "\uffee", "é"]
SPEC = ReadSpec(
    data_type="t", collection="things", key="id", changed_at="at", fields=("name",), key_type="string", zone="UTC"
)
MAP = """\
systems:
  crm: {kind: sql, url: "sqlite:///FOLDER/crm.db", zone: UTC}
  copy: {kind: sql, url: "sqlite:///FOLDER/copy.db", zone: UTC}
data_types:
  thing:
    owner: crm
    window: 1s
    fields: {name: {type: string, evidence: clear}}
    in:
      crm: {collection: things, key: id, changed_at: at}
      copy: {collection: things, key: id, changed_at: at}
flows:
  sync: {data_type: thing, from: crm, to: copy, pattern: real-time, every: 1s}
"""


def made(path: Path, *more: str) -> SqlSettings:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE things (id text, name text, at text)")
        file.executemany("INSERT INTO things VALUES (?, 'Ada', '2026-01-01T00:00:00Z')", [(key,) for key in GOOD])
        for statement in more:
            file.execute(statement)
    return SqlSettings.model_validate({"kind": "sql", "url": f"sqlite:///{path}", "zone": "UTC"})


def odd_rows(column: str) -> list[str]:
    """Rows with such a text in one column."""
    held = {"id": "'odd{n}'", "name": "'Ada'", "at": "'2026-01-01T00:00:00Z'"}
    held[column] = "CAST(x'{bytes}' AS text)"
    row = f"INSERT INTO things VALUES ({', '.join(held.values())})"
    return [row.format(n=number, bytes=each) for number, each in enumerate(NOT_UTF8)]


def all_pages(probe: SqlProbe, limit: int) -> list[Row]:
    rows: list[Row] = []
    after = None
    while True:
        page = probe.page(SPEC, after, limit)
        rows += page.rows
        if page.next is None:
            return rows
        after = page.next


READS: dict[str, Callable[[SqlProbe], list[Row]]] = {
    "pages": lambda probe: all_pages(probe, 50),
    "short pages": lambda probe: all_pages(probe, 1),
    "changed": lambda probe: list(probe.changed(SPEC, None, 100).rows),
    "changed since": lambda probe: list(probe.changed(SPEC, datetime(2025, 1, 1, tzinfo=UTC), 100).rows),
    "by key": lambda probe: probe.fetch(SPEC, GOOD),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("column", ["id", "name", "at"])
def test_every_other_record_is_read(tmp_path: Path, column: str, read: Callable[[SqlProbe], list[Row]]) -> None:
    with closing(SqlProbe(made(tmp_path / "crm.db", *odd_rows(column)))) as probe:
        probe.inspect(SPEC)
        rows = [row for row in read(probe) if row[0] in GOOD]
    assert sorted(row[0] for row in rows) == sorted(GOOD)
    assert {(row[1], row[2]) for row in rows} == {("2026-01-01T00:00:00Z", "Ada")}


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_every_page_goes_on_behind_the_last_row(tmp_path: Path, limit: int) -> None:
    with closing(SqlProbe(made(tmp_path / "crm.db", *odd_rows("id")))) as probe:
        keys = [row[0] for row in all_pages(probe, limit)]
    assert sorted(key for key in keys if isinstance(key, str)) == sorted(GOOD)
    assert sorted(key.hex() for key in keys if isinstance(key, bytes)) == sorted(NOT_UTF8)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_ranks_are_those_of_the_keys(tmp_path: Path, encoding: str) -> None:
    with closing(sqlite3.connect(tmp_path / "crm.db")) as file, file:
        file.execute(f"PRAGMA encoding = '{encoding}'")
        file.execute("CREATE TABLE made (at integer)")
    odd = odd_rows("id") if encoding == "UTF-8" else []
    with closing(SqlProbe(made(tmp_path / "crm.db", *odd))) as probe:
        ranked = probe.ranked(SPEC, SEED, 0, RANKS, 100)
    assert len(ranked) == len(GOOD) + len(odd)
    assert {key: rank for key, rank in ranked if isinstance(key, str)} == {
        key: rank_of(SEED, "string", key) for key in GOOD
    }


def test_a_version_that_is_no_text_is_no_number(tmp_path: Path) -> None:
    with closing(SqlProbe(made(tmp_path / "crm.db", *odd_rows("name")))) as probe:
        assert probe.highest_version(ReadSpec(
            data_type="t", collection="things", key="id", changed_at=None, version="name", fields=()
        )) is None  # fmt: skip


@pytest.mark.parametrize("type_", ["", "integer", "blob"])
def test_rows_of_one_binary_key_that_a_page_cuts_are_all_read(tmp_path: Path, type_: str) -> None:
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(f"CREATE TABLE things (id {type_}, name text, at text)")
        file.executemany("INSERT INTO things VALUES (x'ff42', ?, '')", [(str(number),) for number in range(5)])
    settings = SqlSettings.model_validate({"kind": "sql", "url": f"sqlite:///{path}", "zone": "UTC"})
    with closing(SqlProbe(settings)) as probe:
        assert sorted(row[2] for row in all_pages(probe, 2)) == list("01234")


@pytest.mark.parametrize("column", ["id", "name", "at"])
def test_a_queue_tells_every_message(tmp_path: Path, column: str) -> None:
    system = made(tmp_path / "crm.db", *odd_rows(column))
    settings = {"kind": "sql_queue", "system": "crm", "table": "things", "key": "id"}
    settings |= {"letter_id": "id", "since": "at", "payload": "name"}
    with closing(SqlQueueProbe(SqlQueueSettings.model_validate(settings), system)) as probe:
        reading = probe.read(100)
    assert reading.depth == len(GOOD) + len(NOT_UTF8)
    assert set(GOOD) <= {letter.key for letter in reading.letters}


def test_one_key_makes_no_flow_unreadable(tmp_path: Path) -> None:
    odd = odd_rows("id")
    made(tmp_path / "crm.db", *odd, "UPDATE things SET name = 'Eve' WHERE id = 'k7'")
    made(tmp_path / "copy.db")
    (tmp_path / "plumbline.yaml").write_text(MAP.replace("FOLDER", str(tmp_path)))
    places = ["--map", tmp_path / "plumbline.yaml", "--data", tmp_path / "data"]
    (flow,) = json.loads(auditor("once", *places, "--json").stdout)
    assert (flow["error"], flow["records"], flow["cannot_verify"]) == ("", len(GOOD), len(odd))
    assert [each["key"] for each in flow["divergent_records"]] == ["k7"]
    checked = auditor("doctor", *places)
    assert "decode" not in checked.stdout + checked.stderr
