"""Tables and columns whose names hold what SQL, a driver or a format reads otherwise, on every engine."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from probes import registry
from probes.contract import ReadSpec
from probes.queues.sql_queue import SqlQueueProbe, SqlQueueSettings
from probes.ranking import RANKS, rank_of
from probes.records.sql.literals import NoLiteralError
from probes.records.sql.names import join_name
from probes.records.sql.probe import RANK_SCAN_LIMIT, SqlProbe
from probes.records.sql.settings import SqlSettings
from tests.attacks.names import LONGEST_IN_MARIADB, NAMES

ENGINES = ("postgresql", "mariadb", "sqlite")
SEED = "0123456789abcdef" * 2
AT = datetime(2026, 3, 1, tzinfo=UTC)

_UNSEEN = ("line break", "tab")
NOT_CARRIED = {
    "mariadb": [NAMES[each] for each in ("umlaut", "combining", "right to left", "backslash", *_UNSEEN)],
    "sqlite": [NAMES[each] for each in _UNSEEN],
}
"""Names that some client of the engine would not hand on as they are, so nothing is written for people to run."""


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


def run(url: str, *statements: str) -> None:
    """Run statements as they are written, by a driver that is given no parameters."""
    at = sa.make_url(url)
    if at.get_backend_name() == "postgresql":
        with psycopg.connect(url, autocommit=True) as admin:
            for each in statements:
                admin.execute(each.encode())
    elif at.get_backend_name() == "mariadb":
        login = {"host": at.host or "", "port": at.port or 0, "user": at.username, "password": str(at.password)}
        with pymysql.connect(**login, database=at.database, charset="utf8mb4", autocommit=True) as admin:
            for each in statements:
                admin.cursor().execute(each)
    else:
        with contextlib.closing(sqlite3.connect(at.database or "")) as file, file:
            for each in statements:
                file.execute(each)


def quoted(url: str, name: str) -> str:
    """A name as this engine quotes it."""
    sign = "`" if url.startswith("mariadb") else '"'
    return sign + name.replace(sign, sign * 2) + sign


def made(url: str, name: str) -> None:
    """A table in which everything is called so: itself, its key, and beginnings of its other columns."""
    table, at, value = (quoted(url, each) for each in (name, stamp(name), field(name)))
    of_instants, zone = ("timestamptz", "+00") if url.startswith("postgresql") else ("datetime", "")
    rows = ", ".join(f"('k{hour}', '2026-03-01 0{hour}:00:00{zone}', 'value {hour}')" for hour in range(3))
    run(
        url,
        f"CREATE TABLE {table} ({table} varchar(40) PRIMARY KEY, {at} {of_instants}, {value} varchar(40))",
        f"INSERT INTO {table} VALUES {rows}",
    )


def stamp(name: str) -> str:
    return f"{name[:58]} at"


def field(name: str) -> str:
    return f"{name[:58]} it"


def spec_of(name: str) -> ReadSpec:
    return ReadSpec(
        data_type="t",
        collection=join_name(None, name),
        key=name,
        key_type="string",
        changed_at=stamp(name),
        fields=(field(name),),
        zone="UTC",
    )


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_table_of_odd_names_is_read_in_every_way(url: str, name: str) -> None:
    made(url, name)
    probe = SqlProbe(SqlSettings(kind="sql", url=url, zone="UTC"))
    spec = spec_of(name)
    try:
        assert [(row[0], row[2]) for row in probe.fetch(spec, ["k1"])] == [("k1", "value 1")]
        assert [row[0] for row in probe.page(spec, None, 10).rows] == ["k0", "k1", "k2"]
        first = probe.page(spec, None, 2)
        assert [row[0] for row in probe.page(spec, first.next, 2).rows] == ["k2"]
        assert [row[0] for row in probe.changed(spec, AT.replace(hour=1), 10).rows] == ["k1", "k2"]
        assert probe.can_rank(spec, SEED)
        ranks = {key: rank_of(SEED, "string", key) for key in ("k0", "k1", "k2")}
        assert dict(probe.ranked(spec, SEED, 0, RANKS, 10)) == ranks
        probe.inspect(spec)
        assert probe.prove_read_only(spec)
        assert name in {column.name for each in probe.collections() for column in each.fields}
        probe.column_types(spec)
    finally:
        probe.close()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_queue_table_of_odd_names_is_counted(url: str, name: str) -> None:
    made(url, name)
    settings = SqlQueueSettings.model_validate(
        {
            "kind": "sql_queue",
            "system": "s",
            "table": join_name(None, name),
            "letter_id": name,
            "since": stamp(name),
            "where": {field(name): "value 1"},
            "role": "dead",
        }
    )
    probe = SqlQueueProbe(settings, SqlSettings(kind="sql", url=url, zone="UTC"))
    try:
        reading = probe.read(10)
    finally:
        probe.close()
    assert (reading.depth, [letter.letter_id for letter in reading.letters]) == (1, ["k1"])
    assert reading.oldest_at == AT.replace(hour=1)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_statement_for_people_names_it_rightly(url: str, name: str) -> None:
    """The statement runs as it is written, by a client that knows no parameters, or there is none."""
    made(url, name)
    settings = SqlSettings(kind="sql", url=url, zone="UTC")
    write = registry.statement_writer(settings)
    assert write is not None
    table, key = join_name(None, name), (name, "k1")
    if name in NOT_CARRIED.get(url.partition(":")[0], ()):
        with pytest.raises(NoLiteralError):
            write("update", table, key, {field(name): "other"}, {field(name): "value 1"})
        return
    run(url, write("update", table, key, {field(name): "other"}, {field(name): "value 1"}))
    run(url, write("insert", table, (name, "k7"), {field(name): "new"}, {}))
    run(url, write("delete", table, (name, "k2"), {}, {field(name): "value 2"}))
    probe = SqlProbe(settings)
    try:
        found = {row[0]: row[2] for row in probe.page(spec_of(name), None, 10).rows}
    finally:
        probe.close()
    assert found == {"k0": "value 0", "k1": "other", "k7": "new"}


@pytest.mark.parametrize("name", ["discount %", "50%% off", "%s and %(name)s", ":x", 'the "real" id'])
def test_the_index_that_is_proposed_can_be_made(postgresql_url: str, name: str) -> None:
    made(postgresql_url, name)
    probe = SqlProbe(SqlSettings(kind="sql", url=postgresql_url, zone="UTC"))
    try:
        statement = probe.rank_index(spec_of(name), SEED)
    finally:
        probe.close()
    assert statement is not None
    run(postgresql_url, statement)


def test_mariadb_takes_a_name_of_64_characters(mariadb_url: str) -> None:
    made(mariadb_url, LONGEST_IN_MARIADB)
    probe = SqlProbe(SqlSettings(kind="sql", url=mariadb_url, zone="UTC"))
    spec = spec_of(LONGEST_IN_MARIADB)
    try:
        assert len(probe.ranked(spec, SEED, 0, RANKS, 10)) == 3
    finally:
        probe.close()


@pytest.mark.parametrize("name", ["discount %", "%s and %(name)s", ":x"])
def test_a_large_table_of_an_odd_name_is_priced_before_it_is_ranked(postgresql_url: str, name: str) -> None:
    key = quoted(postgresql_url, name)
    run(postgresql_url, f"CREATE TABLE {key} AS SELECT generate_series(1, {RANK_SCAN_LIMIT + 1}) AS {key}")
    probe = SqlProbe(SqlSettings(kind="sql", url=postgresql_url, zone="UTC"))
    spec = ReadSpec(data_type="t", collection=name, key=name, key_type="integer", changed_at=None, fields=())
    try:
        assert not probe.can_rank(spec, SEED)
        statement = probe.rank_index(spec, SEED)
        assert statement is not None
        run(postgresql_url, statement, f"ANALYZE {key}")
        assert probe.can_rank(spec, SEED)
    finally:
        probe.close()


@pytest.mark.parametrize("name", ["discount %", "%s.%(name)s", 'a "b" c', "Größe", ":x", "select"])
def test_a_schema_of_an_odd_name_is_read(postgresql_url: str, name: str) -> None:
    schema = quoted(postgresql_url, name)
    table = f"{schema}.{schema}"
    run(
        postgresql_url,
        f"CREATE SCHEMA {schema}",
        f"CREATE TABLE {table} ({schema} text PRIMARY KEY)",
        f"INSERT INTO {table} VALUES ('k1')",
    )
    probe = SqlProbe(SqlSettings(kind="sql", url=postgresql_url, zone="UTC"))
    spec = ReadSpec(data_type="t", collection=join_name(name, name), key=name, changed_at=None, fields=())
    try:
        assert [row[0] for row in probe.fetch(spec, ["k1"])] == ["k1"]
        assert probe.ranked(spec, SEED, 0, RANKS, 10) == [("k1", rank_of(SEED, "string", "k1"))]
        assert spec.collection in {each.name for each in probe.collections()}
        statement = probe.rank_index(spec, SEED)
        assert statement is not None
        run(postgresql_url, statement)
    finally:
        probe.close()
