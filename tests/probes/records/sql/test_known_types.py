"""Every type that an engine's own catalogue has is known, read, and documented; `discover` proposes what fits."""

from __future__ import annotations

from typing import get_args

import psycopg
import pytest
import sqlalchemy as sa

from auditor.systems.discovery import discover
from auditor.systems.reader import SystemReader
from benchmarks import types
from checks.fields import FieldType
from probes import registry
from probes.contract import ReadSpec
from probes.records.sql.known_types import KNOWN, MARIADB, POSTGRESQL, SQLITE, KnownType, as_table
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from tests import HOME, engine_types

DOCS = HOME / "docs" / "map.md"


def names(known: tuple[KnownType, ...]) -> set[str]:
    return {name for each in known for name in each.names}


def test_the_documented_table_is_the_one_in_the_code() -> None:
    assert as_table() in DOCS.read_text()


def test_every_type_of_field_named_there_exists_and_every_type_is_named_once() -> None:
    for known in KNOWN.values():
        listed = [name for each in known for name in each.names]
        assert len(listed) == len(set(listed))
        assert {field for each in known for field in each.fields} <= set(get_args(FieldType))
        assert all(each.form for each in known)


def test_every_type_in_the_catalogue_of_postgresql_is_known(postgresql_url: str) -> None:
    assert engine_types.of_postgresql(postgresql_url) - names(POSTGRESQL) == set()


def test_every_type_of_postgresql_that_can_be_compared_is_read_in_one_row(postgresql_url: str) -> None:
    special = {"enum types", "arrays", "composite types", "hstore", "citext"}
    types = sorted(names(POSTGRESQL) - special)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        columns = ", ".join(f'c{at} pg_catalog."{name}"' for at, name in enumerate(types))
        connection.execute(f"CREATE TABLE t (id int, {columns})")
        connection.execute("INSERT INTO t (id) VALUES (1)")
    probe = SqlProbe(SqlSettings.model_validate({"kind": "sql", "url": postgresql_url}))
    fields = tuple(f"c{at}" for at in range(len(types)))
    spec = ReadSpec(data_type="t", collection="t", key="id", changed_at=None, fields=fields, key_type="integer")
    (row,) = probe.fetch(spec, [1])
    assert set(row[2:]) == {None}
    probe.close()


def test_every_type_that_mariadb_documents_itself_is_known(mariadb_url: str) -> None:
    made = engine_types.of_mariadb(mariadb_url)
    assert {"INT", "TIME", "ENUM", "INET6", "POINT", "BIT", "YEAR", "uuid", "SET", "VARBINARY"} <= made.keys()
    assert set(made.values()) - names(MARIADB) == set()


def test_every_storage_class_of_sqlite_is_known() -> None:
    assert engine_types.of_sqlite() == names(SQLITE)


def test_every_type_agrees_with_every_counterpart_and_the_smallest_difference_is_found(
    postgresql_url: str, mariadb_url: str, sqlite_url: str
) -> None:
    tally = types.measure({types.PG: postgresql_url, types.MY: mariadb_url, types.LITE: sqlite_url})
    assert tally.failures == []
    for engine in KNOWN:
        assert tally.pairs[engine] > 300
        assert types.comparable_types(engine) - tally.exercised[engine] == set()


OWNER = """
    CREATE TYPE mood AS ENUM ('happy', 'sad');
    CREATE TABLE things (id int PRIMARY KEY, opens time, lasts interval, address inet, flags bit(8), photo bytea,
        tags text[], moods mood[], mood mood, span int4range, price money, ratio real, born date, seen timestamptz);
    INSERT INTO things SELECT i, time '08:00' + i * interval '1 minute', i * interval '1 hour',
        ('10.0.0.' || i)::inet, i::bit(8), decode(lpad(to_hex(i), 2, '0'), 'hex'), ARRAY['a', i::text],
        ARRAY['happy'::mood],
        CASE WHEN i % 2 = 0 THEN 'happy' ELSE 'sad' END::mood, int4range(i, i + 5), i::numeric::money, i / 8.0,
        date '2026-01-01' + i, CASE WHEN i = 7 THEN 'infinity' ELSE timestamptz '2026-01-01 00:00+00' END
        + i * interval '1 day' FROM generate_series(1, 40) i"""


COPY = """
    CREATE TABLE things (id char(10) PRIMARY KEY, opens time, lasts time, address inet4, flags bit(8), photo blob,
        tags json, mood enum('happy', 'sad'), price decimal(9,2), ratio float, born date, seen datetime);
    INSERT INTO things SELECT seq, SEC_TO_TIME(28800 + seq * 60), SEC_TO_TIME(seq * 3600), CONCAT('10.0.0.', seq),
        seq, UNHEX(LPAD(HEX(seq), 2, '0')), CONCAT('["a", "', seq, '"]'), IF(seq % 2 = 0, 'happy', 'sad'), seq,
        seq / 8, DATE '2026-01-01' + INTERVAL seq DAY, TIMESTAMP '2026-01-01 00:00:00' + INTERVAL seq DAY
        FROM seq_1_to_40"""


def test_discover_finds_the_common_records_and_types_of_such_columns(postgresql_url: str, mariadb_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as owner:
        owner.execute(OWNER)
    engine = sa.create_engine(sa.make_url(mariadb_url).set(drivername="mariadb+pymysql"))
    with engine.begin() as target:
        for statement in COPY.split(";"):
            target.execute(sa.text(statement))
    engine.dispose()
    readers = []
    for name, url in (("crm", postgresql_url), ("dwh", mariadb_url)):
        settings = registry.record_settings("sql").model_validate({"kind": "sql", "url": url, "zone": "UTC"})
        readers.append(SystemReader(name, settings, registry.open_record_probe(settings)))  # type: ignore[arg-type]
    (match,) = discover(*readers).matches
    for reader in readers:
        reader.close()
    assert match.common == 40
    found = {each.left.name: (each.right.name, each.equal, each.of) for each in match.fields}
    same = {"opens", "lasts", "address", "flags", "photo", "tags", "mood", "price", "ratio", "born"}
    assert {name: found[name] for name in same} == {name: (name, 40, 40) for name in same}
    assert found["seen"] == ("seen", 39, 40)
    types = {each.name: each.type for each in match.left.fields}
    assert types == {
        **{"id": "integer", "opens": "time", "lasts": "duration", "address": "network", "flags": "bits"},
        **{"photo": "bytes", "tags": "array", "moods": "array", "mood": "enum", "span": "range"},
        **{"price": "decimal", "ratio": "float", "born": "date", "seen": "timestamp"},
    }


@pytest.mark.parametrize("kind", ["citext", "hstore"])
def test_types_of_extensions_are_known_too(postgresql_url: str, kind: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as owner:
        owner.execute(f"CREATE EXTENSION {kind}")
        owner.execute(f"CREATE TABLE things (id int PRIMARY KEY, v {kind})")
    probe = SqlProbe(SqlSettings.model_validate({"kind": "sql", "url": postgresql_url}))
    (things,) = probe.collections()
    assert things.fields[1].type == {"citext": "string", "hstore": "json"}[kind]
    probe.close()
