"""Ranks are the same numbers everywhere: golden vectors, computed by each database itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from probes import registry
from probes.contract import ReadSpec
from probes.ranking import RANKS, rank_hex, rank_of, rank_sql, seed_of
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings

SEED = "000102030405060708090a0b0c0d0e0f"

GOLDEN = [
    ("integer", 1, 0xF9F2E30E54276E),
    ("integer", -42, 0x060ADF527FBEDA),
    ("integer", 9007199254740993, 0xC2A447DFA5A8CE),
    ("string", "a", 0x63AB2B93427AA8),
    ("string", "Ünïcode 漢字 😀", 0x9ECCDA5480105A),
    ("string", "back\\slash 'quote' %s :x", 0x03CFF14AD00F2A),
    ("uuid", "6F9619FF-8B86-D011-B42D-00C04FC964FF", 0xCC7090AF7CDAAC),
    ("salesforce_id", "001D000000IRFmaIAH", 0x0AF1BAE46460A0),
]


@pytest.mark.parametrize(("key_type", "key", "rank"), GOLDEN)
def test_python_computes_the_golden_ranks(key_type: str, key: int | str, rank: int) -> None:
    assert rank_of(SEED, key_type, key) == rank


@pytest.mark.parametrize(("key_type", "key", "rank"), GOLDEN)
def test_duckdb_computes_the_golden_ranks(key_type: str, key: int | str, rank: int) -> None:
    with duckdb.connect() as connection:
        column = "uuid" if key_type == "uuid" else "bigint" if key_type == "integer" else "varchar"
        connection.execute(f'CREATE TABLE "t" ("the key" {column})')
        connection.execute('INSERT INTO "t" VALUES (?)', [key])
        sql = rank_sql("duckdb", '"the key"', seed=SEED, key_type=key_type)
        assert connection.sql(f'SELECT {sql} FROM "t"').fetchall() == [(rank_hex(rank),)]


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


def fill(url: str, kind: str, keys: list[Any]) -> None:
    engine = sa.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:").replace("mariadb:", "mariadb+pymysql:")
    )
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE things (the_key {kind})")
        if keys:
            table = sa.table("things", sa.column("the_key"))
            connection.execute(sa.insert(table), [{"the_key": key} for key in keys])
    engine.dispose()


def spec(key_type: str) -> ReadSpec:
    return ReadSpec(
        data_type="thing", collection="things", key="the_key", changed_at=None, fields=(), key_type=key_type
    )


def opened(url: str) -> Iterator[SqlProbe]:
    probe = registry.open_record_probe(SqlSettings(kind="sql", url=url))
    assert isinstance(probe, SqlProbe)
    yield probe
    probe.close()


@pytest.fixture
def probe(database: str) -> Iterator[SqlProbe]:
    yield from opened(database)


TYPES = {
    "integer": {"postgresql": "bigint", "mariadb": "bigint", "sqlite": "integer"},
    "string": {"postgresql": "text", "mariadb": "varchar(100) character set utf8mb4", "sqlite": "text"},
    "uuid": {"postgresql": "uuid", "mariadb": "binary(16)", "sqlite": "text"},
    "salesforce_id": {"postgresql": "varchar(18)", "mariadb": "char(18)", "sqlite": "text"},
}


@pytest.mark.parametrize(("key_type", "key", "rank"), GOLDEN)
def test_databases_compute_the_golden_ranks(
    database: str, probe: SqlProbe, key_type: str, key: int | str, rank: int
) -> None:
    dialect = database.partition(":")[0]
    stored = uuid.UUID(str(key)).bytes if key_type == "uuid" and dialect == "mariadb" else key
    fill(database, TYPES[key_type][dialect], [stored])
    ((_, told),) = probe.ranked(spec(key_type), SEED, 0, RANKS, 10)
    assert told == rank
    assert probe.ranked(spec(key_type), SEED, rank, rank + 1, 10)
    assert not probe.ranked(spec(key_type), SEED, rank + 1, RANKS, 10)
    assert not probe.ranked(spec(key_type), SEED, 0, rank, 10)


def test_a_slice_is_the_same_pushed_down_and_by_key_list(database: str, probe: SqlProbe) -> None:
    keys = list(range(1, 3001))
    fill(database, "bigint", [None, *keys])
    lower, upper = RANKS // 7, RANKS // 5
    pushed = probe.ranked(spec("integer"), SEED, lower, upper, 5000)
    listed = {key for key in keys if lower <= rank_of(SEED, "integer", key) < upper}
    assert {key for key, _ in pushed} == listed
    assert [rank for _, rank in pushed] == sorted(rank for _, rank in pushed)
    assert len(probe.ranked(spec("integer"), SEED, 0, RANKS, 10)) == 10


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("inet", ["10.0.0.1", "10.1.0.0/16", "2001:db8::1", "2001:db8::/64"]),
        ("cidr", ["10.0.0.1/32", "10.1.0.0/16"]),
        ("macaddr", ["08:00:2b:01:02:03"]),
        ("char(8)", ["ab", "a\\b"]),
        ("text", ["7", " x "]),
    ],
)
def test_postgresql_ranks_a_key_as_it_is_read(postgresql_url: str, kind: str, keys: list[str]) -> None:
    fill(postgresql_url, kind, [])
    engine = sa.create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:"))
    probe = next(opened(postgresql_url))
    index = probe.rank_index(spec("string"), SEED)
    assert index is not None
    with engine.begin() as connection:
        for key in keys:
            connection.exec_driver_sql(f"INSERT INTO things VALUES ('{key}')")
        connection.exec_driver_sql(index.replace(" CONCURRENTLY", ""))
    engine.dispose()
    told = probe.ranked(spec("string"), SEED, 0, RANKS, 10)
    assert {key for key, _ in told} == set(keys)
    assert all(rank == rank_of(SEED, "string", key) for key, rank in told)


def test_a_large_table_is_ranked_only_where_an_index_answers(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.records.sql.probe.RANK_SCAN_LIMIT", 1000)
    fill(postgresql_url, "bigint", [])
    engine = sa.create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:"))
    probe = next(opened(postgresql_url))
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO things SELECT generate_series(1, 400000)")
        connection.exec_driver_sql("ANALYZE things")
    assert not probe.can_rank(spec("integer"), SEED)
    with engine.begin() as connection:
        index = probe.rank_index(spec("integer"), SEED)
        assert index is not None
        connection.exec_driver_sql(index.replace(" CONCURRENTLY", ""))  # not inside a transaction
        connection.exec_driver_sql("ANALYZE things")
    assert probe.can_rank(spec("integer"), SEED)
    engine.dispose()


def test_the_seed_tells_nothing_of_the_digest_key_and_is_checked() -> None:
    seed = seed_of(b"secret")
    assert len(seed) == 32
    assert b"secret".hex() not in seed
    with pytest.raises(ValueError, match="32 hexadecimal"):
        rank_sql("duckdb", "id", seed="'; DROP TABLE x", key_type="integer")


@given(st.lists(st.integers(), unique=True, min_size=200, max_size=200))
def test_ranks_are_spread_evenly(keys: list[int]) -> None:
    share = sum(rank_of(SEED, "integer", key) < RANKS // 2 for key in keys) / len(keys)
    assert 0.2 < share < 0.8
