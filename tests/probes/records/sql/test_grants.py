"""Logins that may see little: what they may read is read, and what they may not is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from probes.contract import ProbeError, ReadSpec, Reason
from probes.records.sql.names import join_name, split_name
from probes.records.sql.probe import SqlProbe
from tests.probes.records.sql.test_sessions import probe_of

SPEC = ReadSpec(data_type="t", collection="t", key="id", changed_at="at", fields=("name",), zone="UTC")
VIEW = ReadSpec(data_type="v", collection="v", key="id", changed_at="at", fields=("name",), zone="UTC")

Login = Callable[..., SqlProbe]


@pytest.fixture
def mariadb(mariadb_url: str) -> Iterator[Login]:
    """Opens a probe for a login with these grants alone."""
    at = sa.make_url(mariadb_url)
    probes: list[SqlProbe] = []
    with pymysql.connect(
        host=at.host or "",
        port=at.port or 0,
        user=at.username,
        password=str(at.password),
        database=at.database,
        autocommit=True,
    ) as admin:
        cursor = admin.cursor()
        cursor.execute(
            "CREATE TABLE t (id int unsigned PRIMARY KEY, name varchar(20), at datetime(6), secret text, "
            "small tinyint(1), price decimal(9,2), kind enum('a','b'), raw binary(16))"
        )
        cursor.execute("INSERT INTO t VALUES (1, 'one', '2026-03-01 12:00:00', 'x', 1, 1.5, 'a', 'y')")
        cursor.execute("CREATE VIEW v AS SELECT id, name, at FROM t")

        def login(*grants: str) -> SqlProbe:
            cursor.execute("DROP USER IF EXISTS 'looker'@'127.0.0.1'")
            cursor.execute("CREATE USER 'looker'@'127.0.0.1' IDENTIFIED BY 'secret-of-looker'")
            for grant in grants:
                cursor.execute(f"GRANT {grant} TO 'looker'@'127.0.0.1'")
            url = at.set(username="looker", password="secret-of-looker")
            probes.append(probe_of(url.render_as_string(hide_password=False)))
            return probes[-1]

        yield login
        for probe in probes:
            probe.close()
        cursor.execute("DROP USER IF EXISTS 'looker'@'127.0.0.1'")


def test_mariadb_reads_a_view_on_which_the_login_has_select_alone(mariadb: Login) -> None:
    probe = mariadb("SELECT ON v")
    assert probe.inspect(VIEW) == ()
    assert [row[2] for row in probe.fetch(VIEW, [1, 2])] == ["one"]
    assert [row[2] for row in probe.page(VIEW, None, 5).rows] == ["one"]
    assert probe.can_rank(VIEW, "0" * 32)
    assert [each.name for each in probe.collections()] == ["v"]
    assert "read-only" in probe.prove_read_only(VIEW)


def test_mariadb_reads_the_columns_on_which_the_login_has_select(mariadb: Login) -> None:
    probe = mariadb("SELECT (id, name, at, small, price, kind, raw) ON t")
    probe.inspect(SPEC)
    assert [row[2] for row in probe.fetch(SPEC, [1, 2])] == ["one"]
    assert "read-only" in probe.prove_read_only(SPEC)
    (told,) = probe.collections()
    types = {each.name: each.type for each in told.fields}
    assert types["id"] == "integer"
    assert types["price"] == "decimal"
    assert types["small"] == "boolean"
    assert types["at"] == "timestamp"
    assert "secret" not in types


def test_mariadb_names_a_column_that_the_login_may_not_read(mariadb: Login) -> None:
    probe = mariadb("SELECT (id, at) ON t", "UPDATE (name) ON t")
    with pytest.raises(ProbeError, match="'name'") as failed:
        probe.inspect(SPEC)
    assert failed.value.reason is Reason.PERMISSION
    hidden = mariadb("SELECT (id, at) ON t")
    with pytest.raises(ProbeError, match=r"no column in t named 'name' .*or the login may not read it"):
        hidden.inspect(SPEC)


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Login]:
    probes: list[SqlProbe] = []
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE t (id int PRIMARY KEY, name text, at timestamptz, secret text)")
        admin.execute("INSERT INTO t VALUES (1, 'one', '2026-03-01', 'x')")
        admin.execute("CREATE VIEW v AS SELECT id, name, at FROM t")
        admin.execute("CREATE SCHEMA sales")
        admin.execute("CREATE TABLE sales.t (id int PRIMARY KEY, name text, at timestamptz)")

        def login(*grants: str) -> SqlProbe:
            admin.execute("DROP ROLE IF EXISTS narrow")
            admin.execute("CREATE ROLE narrow LOGIN")
            for grant in grants:
                admin.execute(f"GRANT {grant} TO narrow")
            probes.append(probe_of(postgresql_url.replace("postgres@", "narrow@")))
            return probes[-1]

        yield login
        for probe in probes:
            probe.close()
        admin.execute("DROP OWNED BY narrow")
        admin.execute("DROP ROLE narrow")


def test_postgresql_names_the_columns_that_may_not_be_read(postgresql: Login) -> None:
    probe = postgresql("SELECT (id, at) ON t")
    with pytest.raises(ProbeError, match="the login may not read name of t") as failed:
        probe.inspect(SPEC)
    assert failed.value.reason is Reason.PERMISSION


def test_postgresql_says_where_nothing_may_be_read(postgresql: Login) -> None:
    probe = postgresql("CONNECT ON DATABASE postgres")
    with pytest.raises(ProbeError, match="may not read any column that the map names of t"):
        probe.inspect(SPEC)


def test_postgresql_names_a_schema_that_may_not_be_used(postgresql: Login) -> None:
    probe = postgresql("SELECT ON sales.t")
    spec = ReadSpec(data_type="t", collection="sales.t", key="id", changed_at="at", fields=("name",), zone="UTC")
    with pytest.raises(ProbeError, match="permission denied for schema sales") as failed:
        probe.inspect(spec)
    assert failed.value.reason is Reason.PERMISSION


@pytest.mark.parametrize(("spec", "grant"), [(SPEC, "SELECT (id, name, at) ON t"), (VIEW, "SELECT ON v")])
def test_postgresql_reads_what_it_may(postgresql: Login, spec: ReadSpec, grant: str) -> None:
    probe = postgresql(grant)
    assert probe.inspect(spec) in {(), ("t.at has no index: every read scans the table",)}
    assert [row[2] for row in probe.fetch(spec, [1, 2])] == ["one"]


@pytest.mark.parametrize(("grant", "more"), [("SELECT ON t", set()), ("USAGE ON SCHEMA sales", {"sales.t"})])
def test_postgresql_lists_what_is_in_schemas_that_may_be_used(postgresql: Login, grant: str, more: set[str]) -> None:
    assert {each.name for each in postgresql(grant).collections()} == {"t", "v"} | more


# -- names with a dot


@pytest.mark.parametrize(
    ("written", "schema", "name"),
    [
        ("orders", None, "orders"),
        ("sales.orders", "sales", "orders"),
        ('"order.items"', None, "order.items"),
        ('sales."order.items"', "sales", "order.items"),
        ('"my.sales"."order.items"', "my.sales", "order.items"),
        ('"say ""hi"""', None, 'say "hi"'),
    ],
)
def test_a_name_with_a_dot_is_quoted(written: str, schema: str | None, name: str) -> None:
    assert split_name(written) == (schema, name)
    assert join_name(schema, name) == written


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite"])
def test_a_table_with_a_dot_in_its_name_is_read(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
    engine = sa.create_engine(sa.make_url(url).set(drivername=drivers[kind]))
    quoted = engine.dialect.identifier_preparer.quote("order.items")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {quoted} (id integer PRIMARY KEY, name varchar(9))")
        connection.exec_driver_sql(f"INSERT INTO {quoted} VALUES (1, 'one')")
    engine.dispose()
    spec = ReadSpec(data_type="t", collection='"order.items"', key="id", changed_at=None, fields=("name",))
    probe = probe_of(url)
    assert probe.inspect(spec) == ()
    assert [row[2] for row in probe.fetch(spec, [1])] == ["one"]
    assert [each.name for each in probe.collections()] == ['"order.items"']
    near = ReadSpec(data_type="t", collection='"order.item"', key="id", changed_at=None, fields=("name",))
    with pytest.raises(ProbeError, match=re.escape("did you mean '\"order.items\"'")):
        probe.inspect(near)
    bare = ReadSpec(data_type="t", collection="order.items", key="id", changed_at=None, fields=("name",))
    with pytest.raises(ProbeError, match=re.escape('is written in double quotes: "order.items"')):
        probe.inspect(bare)
    probe.close()
