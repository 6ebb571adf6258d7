"""Values written out as SQL, run on real servers, and read back as what they were."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from probes.contract import Bits
from probes.records.sql.database_url import DIALECTS
from probes.records.sql.literals import NoLiteralError, literal
from probes.records.sql.settings import SqlSettings
from probes.records.sql.statements import statement
from tests.probes.records.sql.test_column_types import Database, database, mariadb, postgresql, sqlite

__all__ = ["database", "mariadb", "postgresql", "sqlite"]

BYTES = bytes(range(256)) * 40
TEXTS = ["a'b", "50% \\ :x", "\\'; DROP TABLE t; --", "a\x1b[31m\u202e\n\r\tb\x9b", "\U000e0041é", "--", ""]


def write(at: Database, action: Any, key: Any, changes: dict[str, Any], guard: dict[str, Any]) -> str:
    """The statement, made with what the probe knows of the columns, and run."""
    settings = SqlSettings(
        kind="sql", url=at.engine.url.set(drivername=at.kind).render_as_string(hide_password=False)
    )
    natives = at.probe.column_types(at.spec())
    told = statement(settings, action, "t", ("id", key), changes, guard, natives)
    assert told.isprintable(), told
    with at.engine.begin() as connection:
        connection.exec_driver_sql(told.replace("%", "%%") if at.kind != "sqlite" else told)
    return told


def moved(at: Database, type_: str, value: Any) -> Any:
    """The value inserted, updated under its guard, and read back."""
    at.run("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id int, v {type_})")
    write(at, "insert", 1, {"v": None}, {})
    write(at, "update", 1, {"v": value}, {"v": None})
    (held,) = at.values()
    write(at, "update", 1, {"v": None}, {"v": held})
    assert at.values() == (None,), "the guard found the value"
    write(at, "update", 1, {"v": value}, {})
    write(at, "delete", 1, {}, {"v": held})
    assert not at.probe.fetch(at.spec(), [1])
    return held


def test_bytes_are_written_as_the_bytes_they_are(database: Database) -> None:
    type_ = {"postgresql": "bytea", "mariadb": "longblob", "sqlite": "blob"}[database.kind]
    for each in (b"\0\x01\xff", b"", b"abc", BYTES):
        assert moved(database, type_, each) == each


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_written_on_one_line_and_read_back(database: Database, text: str) -> None:
    type_ = "text CHARACTER SET utf8mb4" if database.kind == "mariadb" else "text"
    assert moved(database, type_, text) == text


def test_text_with_nul_is_never_written_as_a_statement(database: Database) -> None:
    database.run("CREATE TABLE t (id int, v text)")
    for key, changes, guard in ((1, {"v": "a\0b"}, {}), (1, {"v": "a"}, {"v": "\0"})):
        with pytest.raises(NoLiteralError, match="NUL"):
            write(database, "update", key, changes, guard)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("text[]", '["x", "y\'s", null, "a\\\\b"]'),
        ("text[]", "[]"),
        ("int[]", "[[1, 2], [3, 4]]"),
        ("numeric[]", "[1.50, 2]"),
        ("int4range", "[1,5)"),
        ("interval", "1 mon 2 days 03:04:05"),
        ("time", "12:30:00"),
        ("inet", "10.0.0.0/8"),
        ("macaddr", "08:00:2b:01:02:03"),
        ("json", '{"a": 1}'),
        ("jsonb", '{"a": 1}'),
        ("bit(3)", Bits("101")),
        ("timestamptz", "infinity"),
    ],
)
def test_postgresqls_own_types_are_written_in_its_own_form(postgresql: Database, type_: str, value: Any) -> None:
    held = moved(postgresql, type_, value)
    assert str(held).replace(" ", "").replace('",', '",') == str(value).replace(" ", "")


@pytest.mark.parametrize("type_", ["numeric", "float8", "real"])
def test_postgresql_takes_nan_and_the_infinities(postgresql: Database, type_: str) -> None:
    for each in ("NaN", "Infinity", "-Infinity"):
        assert str(Decimal(moved(postgresql, type_, float(each)))) == each
        assert str(Decimal(moved(postgresql, type_, each))) == each


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("double", float("nan")),
        ("double", "Infinity"),
        ("decimal(10, 2)", Decimal("NaN")),
        ("datetime", "infinity"),
        ("datetime", "2026-01-01 00:00:00+00:00"),
        ("date", "0044-03-15 BC"),
        ("time", "1 mon"),
        ("bit(3)", "1011"),
        ("inet4", "10.0.0.0/8"),
        ("binary(16)", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
        ("text", b"\xff"),
        ("point", "POINT(1 1)"),
    ],
)
def test_what_mariadb_does_not_hold_is_not_written(mariadb: Database, type_: str, value: Any) -> None:
    mariadb.run(f"CREATE TABLE t (id int, v {type_})")
    with pytest.raises(NoLiteralError):
        write(mariadb, "update", 1, {"v": value}, {})


@pytest.mark.parametrize(
    ("type_", "value", "held"),
    [("bit(3)", Bits("101"), "101"), ("set('a','b')", "a,b", "a,b"), ("time", "-26:00:00", "-26:00:00")],
)
def test_mariadbs_own_types_are_written_in_its_own_form(mariadb: Database, type_: str, value: Any, held: str) -> None:
    assert moved(mariadb, type_, value) == held


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("bytea", "abc"),
        ("text", b"\xff"),
        ("int", float("nan")),
        ("text[]", '[{"a": 1}]'),
        ("text[]", "x,y"),
        ("hstore_like", "(1,2)"),
    ],
)
def test_what_postgresql_has_no_sure_literal_for_is_not_written(postgresql: Database, type_: str, value: Any) -> None:
    postgresql.run("CREATE TYPE hstore_like AS (a int, b int)", f"CREATE TABLE t (id int, v {type_})")
    with pytest.raises(NoLiteralError):
        write(postgresql, "update", 1, {"v": value}, {})


def test_sqlite_has_no_literal_for_nan_and_the_infinities(sqlite: Database) -> None:
    sqlite.run("CREATE TABLE t (id int, v real)")
    for each in (float("nan"), float("inf"), Decimal("NaN"), "Infinity"):
        with pytest.raises(NoLiteralError):
            write(sqlite, "update", 1, {"v": each}, {})


def test_every_dialect_has_literals_and_another_borrows_none() -> None:
    assert {literal(dialect, 1) for dialect in DIALECTS} == {"1"}
    with pytest.raises(NoLiteralError, match="oracle"):
        literal("oracle", 1)
