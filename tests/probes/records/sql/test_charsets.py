"""Keys with letters that a column of MariaDB cannot hold: they are not there, and the others are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from probes.composite_keys import joined
from probes.contract import ReadSpec
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings

SPEC = ReadSpec(data_type="thing", collection="things", key="code", changed_at=None, fields=("name",))

COLUMNS = [
    *("varchar(40) CHARACTER SET latin1", "char(40) CHARACTER SET latin1 COLLATE latin1_german1_ci"),
    *("varchar(40) CHARACTER SET latin1 COLLATE latin1_bin", "text CHARACTER SET latin2"),
    *("varchar(40) CHARACTER SET ascii", "varchar(40) CHARACTER SET greek", "varchar(40) CHARACTER SET ujis"),
    *("varchar(40) CHARACTER SET utf8mb3", "varchar(40) CHARACTER SET gbk", "varchar(40) CHARACTER SET ucs2"),
    *("enum('ann', 'bob', 'é') CHARACTER SET latin1", "varchar(40) CHARACTER SET utf8mb4", "varbinary(40)"),
]
FOREIGN = ["жук", "\u03bd\u03b1\u03b9", "\U0001f600", "e\u0301", "\u6c49", "\u0081"]


@contextmanager
def opened(url: str) -> Iterator[SqlProbe]:
    probe = SqlProbe(
        SqlSettings.model_validate({"kind": "sql", "url": url, "zone": "UTC", "budget": {"timeout": "30s"}})
    )
    try:
        yield probe
    finally:
        probe.close()


def ask(url: str, *statements: str) -> list[sa.Row[tuple[object, ...]]]:
    engine = sa.create_engine(sa.make_url(url).set(drivername="mariadb+pymysql"))
    with engine.begin() as connection:
        for each in statements:
            cursor = connection.exec_driver_sql(each)
        rows = list(cursor.all()) if cursor.returns_rows else []
    engine.dispose()
    return rows


@pytest.mark.parametrize("column", COLUMNS)
def test_a_key_that_a_column_cannot_hold_does_not_hide_the_others(mariadb_url: str, column: str) -> None:
    narrow = any(each in column for each in ("ascii", "greek"))
    held = ["ann", "bob"] if narrow else ["ann", "bob", "é"]
    rows = ", ".join(f"(7, '{each}', 'n')" for each in held)
    create = f"CREATE TABLE things (tenant int, code {column}, name varchar(9))"
    ask(mariadb_url, create, f"INSERT INTO things VALUES {rows}")
    pairs = replace(SPEC, key="tenant", key_parts=("tenant", "code"))
    with opened(mariadb_url) as probe:
        for keys in ([*held, *FOREIGN], [*FOREIGN, "ann"], FOREIGN, ["жук"], ["é", "ann"]):
            wanted = [each for each in held if each in keys]
            found = [row[0] for row in probe.fetch(SPEC, keys)]
            texts = sorted(each.decode() if isinstance(each, bytes) else each for each in found)
            assert [each for each in texts if each in keys] == sorted(wanted), keys
            found = [row[0][1] for row in probe.fetch(pairs, [joined((7, each)) for each in keys])]
            texts = sorted(each.decode() if isinstance(each, bytes) else each for each in found)
            assert [each for each in texts if each in keys] == sorted(wanted), keys


def test_a_record_whose_key_has_question_marks_is_not_taken_for_one_that_a_column_cannot_hold(
    mariadb_url: str,
) -> None:
    create = "CREATE TABLE things (tenant int, code varchar(40) CHARACTER SET latin1, name varchar(9))"
    ask(mariadb_url, create, "INSERT INTO things VALUES (7, '???', 'n'), (7, 'what?', 'n')")
    pairs = replace(SPEC, key="tenant", key_parts=("tenant", "code"))
    with opened(mariadb_url) as probe:
        assert probe.fetch(SPEC, ["жук"]) == []
        assert [row[0] for row in probe.fetch(SPEC, ["жук", "???"])] == ["???"]
        assert [row[0] for row in probe.fetch(SPEC, ["жук", "what?"])] == ["what?"]
        assert probe.fetch(pairs, [joined((7, "жук"))]) == []
        assert [row[0] for row in probe.fetch(pairs, [joined((7, "???")), joined((7, "жук"))])] == [(7, "???")]


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", "greek", "gbk"])
def test_keys_in_any_case_are_found_beside_those_that_a_column_cannot_hold(mariadb_url: str, charset: str) -> None:
    create = f"CREATE TABLE things (tenant int, code varchar(40) CHARACTER SET {charset}, name varchar(9))"
    ask(mariadb_url, create, "INSERT INTO things VALUES (7, 'Ann', 'n'), (7, 'BOB', 'n')")
    with opened(mariadb_url) as probe:
        for mistaken in (False, True):
            spec = replace(SPEC, key_type="caseless", mistaken=mistaken)
            assert sorted(row[0] for row in probe.fetch(spec, ["ann", *FOREIGN, "bob"])) == ["Ann", "BOB"]


def test_a_lookup_in_such_a_column_goes_by_its_index(mariadb_url: str) -> None:
    ask(
        mariadb_url,
        "CREATE TABLE things (code varchar(40) CHARACTER SET latin1 COLLATE latin1_german1_ci PRIMARY KEY, "
        "name varchar(9))",
        "INSERT INTO things SELECT concat('k', seq), 'n' FROM seq_1_to_5000",
        "ANALYZE TABLE things",
    )
    sent: list[tuple[str, Any]] = []
    with opened(mariadb_url) as probe:
        listen = event.listens_for(probe._engine, "before_cursor_execute")
        listen(lambda _connection, _cursor, text, values, *_: sent.append((text, values)))
        assert len(probe.fetch(SPEC, ["k7", "k4999", "жук", "é"])) == 2
        with probe._session() as connection:
            text, values = next(each for each in sent if "FROM things" in each[0])
            (plan,) = connection.exec_driver_sql(f"EXPLAIN {text}", values).mappings().all()
    assert (plan["type"], plan["key"]) == ("range", "PRIMARY")
