"""Columns of every type read exactly, and keys compared with columns of other types, on real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from probes.contract import Bits, Key, ReadSpec
from probes.records.sql.column_types import shortest_single
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from probes.settings import Budget

Run = Callable[..., None]
ENGINES = ("postgresql", "mariadb", "sqlite")
DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}


class Database:
    """A database of its own, written to by the test and read by a probe."""

    def __init__(self, url: str) -> None:
        at = sa.make_url(url)
        self.kind = at.get_backend_name()
        self.engine = sa.create_engine(at.set(drivername=DRIVERS[self.kind]))
        self.probe = SqlProbe(SqlSettings(kind="sql", url=url, budget=Budget(timeout_s=20)))
        self.statements = 0
        sa.event.listen(self.probe._engine, "before_cursor_execute", self._count)

    def _count(self, *_: Any) -> None:
        self.statements += 1

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for each in statements:
                connection.exec_driver_sql(each)

    def values(self, key: Key = 1, key_type: str = "integer", *, fields: tuple[str, ...] = ("v",)) -> tuple[Any, ...]:
        """The values of one record of the table t."""
        rows = self.probe.fetch(self.spec(key_type, fields), [key])
        assert len(rows) == 1
        return tuple(rows[0][2:])

    def spec(self, key_type: str = "integer", fields: tuple[str, ...] = ("v",)) -> ReadSpec:
        return ReadSpec(data_type="t", collection="t", key="id", changed_at=None, fields=fields, key_type=key_type)

    def keys(self, *keys: Key, key_type: str = "string") -> list[Any]:
        return [row[0] for row in self.probe.fetch(self.spec(key_type, ()), list(keys))]

    def paged(self, key_type: str, limit: int) -> list[list[Any]]:
        """The keys of every page."""
        found, after = [], None
        while True:
            page = self.probe.page(self.spec(key_type), after, limit)
            found.append([row[0] for row in page.rows])
            after = page.next
            if after is None:
                return found

    def close(self) -> None:
        self.probe.close()
        self.engine.dispose()


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    made = Database(request.getfixturevalue(f"{request.param}_url"))
    yield made
    made.close()


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    made = Database(postgresql_url)
    yield made
    made.close()


@pytest.fixture
def mariadb(mariadb_url: str) -> Iterator[Database]:
    made = Database(mariadb_url)
    yield made
    made.close()


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    made = Database(sqlite_url)
    yield made
    made.close()


BEYOND = {
    "timestamptz": ["infinity", "-infinity", "12026-01-01 00:00:00+00", "0044-03-15 00:00:00+00 BC"],
    "timestamp": ["infinity", "-infinity", "12026-01-01 00:00:00", "0044-03-15 00:00:00 BC"],
    "date": ["infinity", "-infinity", "12026-01-01", "0044-03-15 BC"],
}


@pytest.mark.parametrize("type_", BEYOND)
def test_instants_beyond_the_calendar_are_read_as_postgresql_writes_them(postgresql: Database, type_: str) -> None:
    postgresql.run(f"CREATE TABLE t (id int, v {type_}, name text)")
    for number, text in enumerate(BEYOND[type_]):
        postgresql.run(f"INSERT INTO t VALUES ({number}, '{text}', 'n{number}')")
        assert postgresql.values(number, fields=("v", "name")) == (text, f"n{number}")


def test_values_that_the_driver_cannot_convert_cost_two_statements_a_batch_at_most(postgresql: Database) -> None:
    postgresql.run(
        "CREATE TABLE t (id int PRIMARY KEY, v timestamptz)",
        "INSERT INTO t SELECT i, 'infinity' FROM generate_series(1, 5000) i",
    )
    spec = postgresql.spec()
    postgresql.probe.fetch(spec, [0])
    before = postgresql.statements
    for at in range(1, 5001, 500):
        assert len(postgresql.probe.fetch(spec, list(range(at, at + 500)))) == 500
    assert postgresql.statements - before == 11


def test_bytes_that_are_no_text_stay_bytes_and_spoil_nothing_beside_them(sqlite: Database) -> None:
    sqlite.run(
        "CREATE TABLE t (id integer, v text, name text)", "INSERT INTO t VALUES (1, CAST(x'ff41' AS text), 'é')"
    )
    assert sqlite.values(fields=("v", "name")) == (b"\xffA", "é")


def test_half_characters_of_a_column_in_ucs2_spoil_nothing_beside_them(mariadb: Database) -> None:
    mariadb.run(
        "CREATE TABLE t (id int, v varchar(9) CHARACTER SET ucs2, name text)",
        "INSERT INTO t VALUES (1, _ucs2 x'D8000041', 'é'), (2, 'fine', 'x')",
    )
    assert mariadb.values(fields=("v", "name")) == (b"\xed\xa0\x80A", "é")
    assert mariadb.values(2, fields=("v", "name")) == ("fine", "x")


EXACT = "90071992547409931.25"


@pytest.mark.parametrize(("engine", "type_"), [("postgresql", "json"), ("postgresql", "jsonb"), ("mariadb", "json")])
def test_json_is_read_as_text_with_every_digit(engine: str, type_: str, request: pytest.FixtureRequest) -> None:
    made = Database(request.getfixturevalue(f"{engine}_url"))
    made.run(f"CREATE TABLE t (id int, v {type_})", f"INSERT INTO t VALUES (1, '{{\"total\": {EXACT}}}')")
    assert made.values() == (f'{{"total": {EXACT}}}',)
    made.close()


def test_a_key_twice_in_json_is_kept(postgresql: Database) -> None:
    postgresql.run("CREATE TABLE t (id int, v json)", """INSERT INTO t VALUES (1, '{"a": 1, "a": 2}')""")
    assert postgresql.values() == ('{"a": 1, "a": 2}',)


SINGLES = ["16777216", "0.1", "3.4028233e38", "1.1754944e-38", "123456.78", "-0.33333334", "1e-45"]


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_single_floats_are_read_with_every_digit(engine: str, request: pytest.FixtureRequest) -> None:
    made = Database(request.getfixturevalue(f"{engine}_url"))
    made.run(f"CREATE TABLE t (id int, v {'real' if engine == 'postgresql' else 'float'})")
    if engine == "postgresql":
        made.run("ALTER DATABASE " + str(made.engine.url.database) + " SET extra_float_digits = -3")
    for number, text in enumerate(SINGLES):
        made.run(f"INSERT INTO t VALUES ({number}, {text})")
        assert made.values(number) == (float(text),)
    made.close()


def test_the_shortest_decimal_means_the_same_single_float() -> None:
    assert [shortest_single(each) for each in (0.10000000149011612, 16777216.0, 3.4028234663852886e38)] == [
        0.1,
        16777216.0,
        3.4028235e38,
    ]


def test_bits_keep_their_length_and_are_no_decimal_digits(postgresql: Database, mariadb: Database) -> None:
    for made in (postgresql, mariadb):
        made.run("CREATE TABLE t (id int, v bit(8), one bit(1))", "INSERT INTO t VALUES (1, b'00000101', b'1')")
        found = made.values(fields=("v", "one"))
        assert found == ("00000101", "1")
        assert isinstance(found[0], Bits)


def test_types_without_a_counterpart_in_the_driver_are_read_as_text(postgresql: Database) -> None:
    asked = {
        "time": ("24:00:00", "24:00:00"),
        "timetz": ("10:00:00+02", "10:00:00+02"),
        "interval": ("1 mon 2 days 03:04:05.6", "1 mon 2 days 03:04:05.6"),
        "inet": ("10.0.0.1", "10.0.0.1"),
        "cidr": ("10.0.0.0/8", "10.0.0.0/8"),
        "macaddr": ("08:00:2b:01:02:03", "08:00:2b:01:02:03"),
        "int4range": ("[1,4]", "[1,5)"),
        "nummultirange": ("{[1,2),[3,4)}", "{[1,2),[3,4)}"),
        "money": ("12.34", Decimal("12.34")),
        "int[]": ("{1,NULL,3}", "[1,null,3]"),
        "text[][]": ("{{a,b},{c,d}}", '[["a","b"],["c","d"]]'),
        "xml": ("<a/>", "<a/>"),
        "pg_lsn": ("16/B374D848", "16/B374D848"),
        "point": ("(1,2)", "(1,2)"),
        "tsvector": ("a b", "'a' 'b'"),
        "pair": ("(1,x)", '{"a":1,"b":"x"}'),
        "mood": ("happy", "happy"),
        "moods": ("{happy,sad}", '["happy","sad"]'),
        "mood[]": ("{happy,sad}", '["happy","sad"]'),
        "citext[]": ("{A,b}", '["A","b"]'),
        "hstore": ("a=>1", '{"a": "1"}'),
        "amount": ("1.50", Decimal("1.50")),
    }
    postgresql.run(
        "CREATE EXTENSION citext",
        "CREATE EXTENSION hstore",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE TYPE mood AS ENUM ('happy', 'sad')",
        "CREATE DOMAIN moods AS mood[]",
        "CREATE DOMAIN amount AS numeric(9,2)",
        f"CREATE TABLE t (id int, {', '.join(f'c{at} {type_}' for at, type_ in enumerate(asked))})",
        f"INSERT INTO t VALUES (1, {', '.join(repr(text) for text, _ in asked.values())})",
    )
    found = postgresql.values(fields=tuple(f"c{at}" for at in range(len(asked))))
    assert dict(zip(asked, found, strict=True)) == {type_: read for type_, (_, read) in asked.items()}


def test_types_of_mariadb_are_read_as_text_where_they_are_none(mariadb: Database) -> None:
    asked = {
        "time(3)": ("-838:59:58.123", "-838:59:58.123"),
        "year": (2026, 2026),
        "bigint unsigned": (2**64 - 1, 2**64 - 1),
        "set('a','b')": ("a,b", "a,b"),
        "enum('x','y')": ("y", "y"),
        "inet4": ("10.0.0.1", "10.0.0.1"),
        "inet6": ("::1", "::1"),
        "uuid": ("0189c1a0-0000-7000-8000-000000000001", "0189c1a0-0000-7000-8000-000000000001"),
        "binary(4)": ("ab", b"ab\0\0"),
        "decimal(38,10)": (
            "1234567890123456789012345678.1234567890",
            Decimal("1234567890123456789012345678.1234567890"),
        ),
    }
    mariadb.run(
        f"CREATE TABLE t (id int, {', '.join(f'c{at} {type_}' for at, type_ in enumerate(asked))}, p point)",
        f"INSERT INTO t VALUES (1, {', '.join(repr(given) for given, _ in asked.values())}, point(1, 2))",
    )
    found = mariadb.values(fields=(*(f"c{at}" for at in range(len(asked))), "p"))
    assert dict(zip([*asked, "point"], found, strict=True)) == {
        **{type_: read for type_, (_, read) in asked.items()},
        "point": "POINT(1 2)",
    }


def test_a_zero_date_is_told_and_spoils_nothing_beside_it(mariadb: Database) -> None:
    mariadb.run(
        "SET SESSION sql_mode = ''",
        "CREATE TABLE t (id int, v date, at datetime, name text)",
        "INSERT INTO t VALUES (1, 0, '2026-02-00', 'x')",
    )
    assert mariadb.values(fields=("v", "at", "name")) == ("0000-00-00", "2026-02-00 00:00:00", "x")


# -- keys


def test_the_padding_of_a_char_key_is_no_part_of_it(database: Database) -> None:
    database.run("CREATE TABLE t (id char(10), v int)", "INSERT INTO t VALUES ('abc', 1), ('b', 2), ('c', 3)")
    assert database.keys("abc") == ["abc"]
    assert database.paged("string", 2) == [["abc", "b"], ["c"]]
    spec = database.spec("string")
    ranked = database.probe.ranked(spec, "0" * 32, 0, 1 << 56, 10)
    assert sorted(key for key, _ in ranked) == ["abc", "b", "c"]


def test_a_key_longer_than_its_column_is_not_there(database: Database) -> None:
    database.run("CREATE TABLE t (id varchar(3), v int)", "INSERT INTO t VALUES ('abc', 1)")
    assert database.keys("abcdef", "abc") == ["abc"]
    assert database.keys("abcdef") == []
    assert database.keys("abc\0", "\ud800") == []


@pytest.mark.parametrize("type_", ["uuid", "bigint", "numeric(20,0)", "date", "boolean"])
def test_a_key_that_its_column_cannot_hold_is_not_there(database: Database, type_: str) -> None:
    held = {
        "uuid": "0189c1a0-0000-7000-8000-000000000001",
        "bigint": "17",
        "numeric(20,0)": "17",
        "date": "2026-03-01",
        "boolean": "1",
    }[type_]
    database.run(f"CREATE TABLE t (id {type_}, v int)", f"INSERT INTO t VALUES ('{held}', 1)")
    keys: list[Key] = ["legacy-17", 10**20, "9" * 5000, "17\0", "٣"]
    assert database.keys(*keys) == []
    if type_ != "boolean":
        assert [str(key) for key in database.keys(*keys, held)] == [held]


def test_a_column_of_whole_numbers_in_sqlite_may_hold_a_key_that_is_text(sqlite: Database) -> None:
    sqlite.run("CREATE TABLE t (id integer, v int)", "INSERT INTO t VALUES (1, 1), ('legacy-17', 2)")
    assert sqlite.keys("legacy-17", "1", "legacy-18") == [1, "legacy-17"]


def test_a_key_in_an_enumeration_is_found_and_one_that_is_no_label_is_not_there(postgresql: Database) -> None:
    postgresql.run("CREATE TYPE plan AS ENUM ('free', 'pro')", "CREATE TABLE t (id plan, v int)")
    postgresql.run("INSERT INTO t VALUES ('pro', 1), ('free', 2)")
    assert postgresql.keys("pro", "gold") == ["pro"]
    assert postgresql.paged("string", 1) == [["free"], ["pro"]]


def test_a_value_of_another_storage_class_than_declared_is_read_as_it_stands(sqlite: Database) -> None:
    sqlite.run(
        "CREATE TABLE t (id integer, n integer, x real, s text, b blob, at datetime)",
        "INSERT INTO t VALUES (1, 'twelve', 'big', 5, 'text', 1772359200)",
        "INSERT INTO t VALUES (2, 1.5, 2, x'c3a9', 7, '2026-03-01 10:00:00')",
    )
    fields = ("n", "x", "s", "b", "at")
    assert sqlite.values(1, fields=fields) == ("twelve", "big", "5", "text", 1772359200)
    assert sqlite.values(2, fields=fields) == (1.5, 2.0, b"\xc3\xa9", 7, "2026-03-01 10:00:00")


def test_a_char_key_is_compared_without_its_padding_also_where_the_server_pads_it(mariadb: Database) -> None:
    mariadb.run("CREATE TABLE t (id char(10), v int)", "INSERT INTO t VALUES ('abc', 1)")
    sa.event.listen(
        mariadb.probe._engine,
        "connect",
        lambda connection, _: connection.cursor().execute("SET SESSION sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'"),
    )
    assert mariadb.keys("abc") == ["abc"]
    assert mariadb.paged("string", 1) == [["abc"]]
