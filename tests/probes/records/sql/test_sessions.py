"""Sessions: what a database's URL asks for, poolers, and how a session is known to be read-only."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from auditor.ledger import Ledger
from probes.contract import ProbeError, ReadSpec, Reason, UnprovedError
from probes.records.sql.database_url import HONOURED, read_url
from probes.records.sql.dialects.dialect import dialect_of
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from probes.settings import Budget
from probes.wording import WHERE_IT_RUNS
from tests import servers
from tests.servers import free_port
from tests.waiting import wait_until

SPEC = ReadSpec(data_type="t", collection="t", key="id", changed_at=None, fields=("name",))


def probe_of(url: str, timeout_s: float = 5) -> SqlProbe:
    return SqlProbe(SqlSettings(kind="sql", url=url, zone="UTC", budget=Budget(timeout_s=timeout_s)))


@contextlib.contextmanager
def opened(url: str, timeout_s: float = 5) -> Iterator[SqlProbe]:
    probe = probe_of(url, timeout_s)
    try:
        yield probe
    finally:
        probe.close()


@pytest.fixture
def schemas(postgresql_url: str) -> str:
    """A database in which `t` stands in two schemas."""
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE public.t (id int PRIMARY KEY, name text)")
        admin.execute("INSERT INTO public.t VALUES (1, 'public')")
        admin.execute("CREATE SCHEMA sales")
        admin.execute("CREATE TABLE sales.t (id int PRIMARY KEY, name text)")
        admin.execute("INSERT INTO sales.t VALUES (1, 'sales')")
        admin.execute('CREATE SCHEMA "a b"')
        admin.execute('CREATE TABLE "a b".t (id int PRIMARY KEY, name text)')
        admin.execute("INSERT INTO \"a b\".t VALUES (1, 'spaced')")
    return postgresql_url


# -- what the URL asks for


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("", "public"),
        ("-csearch_path=sales", "sales"),
        ("-c search_path=sales,public", "sales"),
        ("--search-path=sales", "sales"),
        (r"-c search_path=sales,\ public -c work_mem=8MB", "sales"),
        ('-c search_path="a\\ b"', "spaced"),
    ],
)
def test_options_in_the_url_are_honoured(schemas: str, options: str, name: str) -> None:
    url = f"{schemas}?options={quote(options)}" if options else schemas
    with opened(url) as probe:
        assert probe.fetch(SPEC, [1]) == [(1, None, name)]
        assert "transaction_read_only = on" in probe.prove_read_only(SPEC)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("options=-cstatement_timeout%3D0", "statement_timeout is not honoured: the deadline is budget.timeout"),
        ("options=-cdefault_transaction_read_only%3Doff", "the session is always read-only"),
        ("options=-ctransaction_read_only%3Doff", "the session is always read-only"),
        ("options=-ctimezone%3DEurope/Berlin", "zone:"),
        ("options=-cdatestyle%3DGerman", "one form"),
        ("options=-e", "only -c NAME=VALUE"),
        ("connect_timeout=10", "connect_timeout is not honoured: the deadline is budget.timeout"),
        ("client_encoding=latin1", "one form"),
        ("sslmod=require", "did you mean sslmode"),
    ],
)
def test_what_postgresql_would_be_told_against_the_auditor_is_refused_by_name(query: str, said: str) -> None:
    with pytest.raises(ValueError, match="URL") as refused:
        SqlSettings(kind="sql", url=f"postgresql://u@h/db?{query}")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mariadb://u@h/db?charset=latin1", "utf8mb4"),
        ("mariadb://u@h/db?init_command=SET%20x", "init_command is not honoured"),
        ("mysql://u@h/db?read_timeout=3", "budget.timeout"),
        ("mysql://u@h/db?local_infile=1", "only reads"),
        ("mysql://u@h/db?ssl_disabled=perhaps", "true or false"),
        ("mysql://u@h/db?cursorclass=x", "unknown parameter 'cursorclass'"),
        ("sqlite:///x.db?mode=rwc", "mode=ro"),
        ("sqlite:///x.db?timeout=3", "budget.timeout"),
        ("sqlite:///x.db?check_same_thread=1", "unknown parameter"),
    ],
)
def test_what_the_other_dialects_do_not_honour_is_refused_by_name(url: str, said: str) -> None:
    with pytest.raises(ValueError, match="URL") as refused:
        SqlSettings(kind="sql", url=url)
    assert said in str(refused.value)


def test_postgres_is_another_name_of_postgresql(schemas: str) -> None:
    with opened(schemas.replace("postgresql://", "postgres://")) as probe:
        assert probe.fetch(SPEC, [1]) == [(1, None, "public")]
    assert read_url("postgres+psycopg2://u@h/db").url.drivername == "postgresql+psycopg"


def test_sslmode_and_the_name_of_the_application_reach_the_server(schemas: str) -> None:
    with opened(f"{schemas}?application_name=ledger-check&sslmode=disable") as probe, probe._session() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "ledger-check"
    with opened(f"{schemas}?sslmode=require") as probe, pytest.raises(ProbeError, match="SSL"):
        probe.fetch(SPEC, [1])


def test_every_parameter_of_libpq_is_known_to_the_driver() -> None:
    known = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}
    assert set(HONOURED["postgresql"].split()) <= known | {"requiressl", "gssdelegation", "require_auth"} | {
        "load_balance_hosts"
    }


def test_mariadb_takes_its_defaults_from_a_file(mariadb_url: str, tmp_path: Path) -> None:
    at = sa.make_url(mariadb_url)
    (tmp_path / "my.cnf").write_text(f"[client]\nuser={at.username}\npassword={at.password}\n")
    url = f"mariadb://{at.host}:{at.port}/{at.database}?read_default_file={tmp_path}/my.cnf&program_name=looker"
    with opened(url) as probe, probe._session() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_the_tls_words_of_mariadb_do_not_replace_each_other() -> None:
    told = read_url("mariadb://u@h/db?ssl_ca=/ca.pem&ssl_verify_cert=true&ssl_check_hostname=false").parameters
    assert told["ssl"] == {"ca": "/ca.pem", "verify_mode": "true", "check_hostname": False}
    assert "ssl" not in read_url("mariadb://u@h/db?ssl_ca=/ca.pem&ssl_disabled=true").parameters


def test_sqlite_honours_its_own_parameters(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (id int, name text)"))
        connection.execute(sa.text("INSERT INTO t VALUES (1, 'x')"))
    for url in (f"sqlite:///{tmp_path}/x.db?immutable=1", f"sqlite:///file:{tmp_path}/x.db?mode=ro&uri=true"):
        with opened(url) as probe:
            assert probe.fetch(SPEC, [1]) == [(1, None, "x")]
    engine.dispose()


# -- poolers


@pytest.fixture(params=["transaction", "transaction ignoring options", "session"])
def pooled(request: pytest.FixtureRequest, postgresql_server: str, schemas: str) -> Iterator[str]:
    """The URL of a database behind a pooler."""
    mode, _, rest = request.param.partition(" ")
    with servers.pgbouncer(postgresql_server, mode, ignored="options" if rest else "") as url:
        yield f"{url}/{schemas.rpartition('/')[2]}"


def test_everything_is_read_through_a_pooler(pooled: str) -> None:
    with opened(pooled) as probe:
        for _ in range(20):
            assert probe.fetch(SPEC, [1]) == [(1, None, "public")]
        assert probe.page(SPEC, None, 10)
        assert probe.can_rank(SPEC, "0" * 32)
        assert probe.inspect(SPEC) == ()
        assert probe.clock().server_at
        assert probe.collections()
        assert "transaction_read_only = on" in probe.prove_read_only(SPEC)


def test_the_doctor_says_in_one_line_what_was_proved_and_how(pooled: str) -> None:
    with opened(pooled) as probe:
        assert probe.prove_read_only(SPEC) == (
            "the session is read-only: the server says transaction_read_only = on; "
            "a write is refused: the transaction is read-only (25006); through a pooler"
        )


def test_a_ledger_can_stand_behind_a_pooler(postgresql_server: str, postgresql_url: str, tmp_path: Path) -> None:
    with servers.pgbouncer(postgresql_server, "transaction", size=2) as url:
        name = postgresql_url.rpartition("/")[2]
        ledgers = [Ledger(f"{url}/{name}".replace("postgresql://", "postgres://")) for _ in range(2)]
        for ledger in ledgers:
            ledger.migrate()
        for _ in range(12):
            for ledger in ledgers:
                with ledger.write():
                    pass
        for ledger in ledgers:
            ledger.close()


def test_a_pooler_that_passes_for_the_server_is_known_by_what_it_forgets(schemas: str) -> None:
    with opened(schemas) as probe:
        probe.fetch(SPEC, [1])
        with pytest.raises(ProbeError), probe._session() as connection:
            connection.exec_driver_sql("EXECUTE _pg3_12")
        assert probe.fetch(SPEC, [1])
        assert probe._sessions.dialect.pooled


def test_many_readers_share_the_connections_of_a_pooler(pooled: str) -> None:
    """More sessions than connections to the server: each transaction may meet another one."""
    probes = [probe_of(pooled) for _ in range(6)]
    failed: list[object] = []

    def read(probe: SqlProbe) -> None:
        try:
            for _ in range(30):
                assert probe.fetch(SPEC, [1]) == [(1, None, "public")]
        except Exception as error:
            failed.append(error)

    readers = [threading.Thread(target=read, args=(probe,)) for probe in probes]
    for each in readers:
        each.start()
    for each in readers:
        each.join(60)
    for probe in probes:
        probe.close()
    # Pooling by session holds a connection for as long as its client stays: four have one, two wait in vain.
    assert all("query_wait_timeout" in str(error) and "default_pool_size" in str(error) for error in failed)


def test_settings_of_the_url_hold_in_every_transaction_of_a_pooler(pooled: str) -> None:
    with opened(f"{pooled}?options=-csearch_path%3Dsales") as probe:
        for _ in range(5):
            assert probe.fetch(SPEC, [1]) == [(1, None, "sales")]
        assert [each.name for each in probe.collections() if each.name.endswith("t")]
    with opened(pooled) as probe:  # and nobody else's
        assert probe.fetch(SPEC, [1]) == [(1, None, "public")]


def test_the_deadline_holds_through_a_pooler(pooled: str, schemas: str) -> None:
    with psycopg.connect(schemas, autocommit=True) as admin:
        admin.execute("CREATE VIEW slow AS SELECT id, name, pg_sleep(30)::text AS z FROM t")
    spec = ReadSpec(data_type="slow", collection="slow", key="id", changed_at=None, fields=("z",))
    with opened(pooled, 1) as probe:
        with pytest.raises(ProbeError) as failed:
            probe.fetch(spec, [1])
        assert failed.value.reason is Reason.TIMEOUT

        def answers() -> bool:
            with contextlib.suppress(ProbeError):  # a second may be short where the machine is slow
                return bool(probe.fetch(SPEC, [1]))
            return False

        wait_until(answers)  # the connection, or the next one, is good again


def test_a_failed_statement_leaves_no_transaction_behind(pooled: str) -> None:
    with opened(pooled) as probe:
        probe.fetch(SPEC, [1])
        with pytest.raises(ProbeError), probe._session() as connection:
            connection.exec_driver_sql("SELECT no_such_column FROM t")
        assert probe.fetch(SPEC, [1])


def test_a_write_is_refused_through_a_pooler(pooled: str) -> None:
    with opened(pooled) as probe, pytest.raises(ProbeError, match="read-only"), probe._session() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (2, 'x')")


def test_the_message_names_the_pooler_that_pools_by_statement(postgresql_server: str, schemas: str) -> None:
    with servers.pgbouncer(postgresql_server, "statement") as url:
        probe = probe_of(f"{url}/{schemas.rpartition('/')[2]}")
        with pytest.raises(ProbeError, match="pool_mode = transaction or session"):
            probe.fetch(SPEC, [1])
        probe.close()


def test_the_message_names_the_pooler_whose_server_is_gone() -> None:
    with servers.pgbouncer(f"postgresql://postgres@127.0.0.1:{servers.free_port()}", "transaction") as url:
        with opened(f"{url}/x", 5) as probe, pytest.raises(ProbeError, match=r"pgbouncer|pooler") as failed:
            probe.fetch(SPEC, [1])
        assert failed.value.retryable


def test_a_direct_connection_is_not_taken_for_a_pooled_one(schemas: str) -> None:
    with opened(schemas) as probe:
        probe.fetch(SPEC, [1])
        assert not probe._sessions.dialect.pooled


# -- read-only


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite"])
def test_the_server_itself_says_that_the_session_is_read_only(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
    engine = sa.create_engine(sa.make_url(url).set(drivername=drivers[kind]))
    generated = {
        "postgresql": "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "mariadb": "id int AS (length(name)) PERSISTENT",
        "sqlite": "id int GENERATED ALWAYS AS (length(name)) STORED",
    }
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE t (name varchar(10), {generated[kind]})"))
        connection.execute(sa.text("CREATE VIEW v AS SELECT id, max(name) AS name FROM t GROUP BY id"))
    said = {"postgresql": "transaction_read_only = on", "mariadb": "tx_read_only = 1", "sqlite": "query_only = 1"}
    view = ReadSpec(data_type="v", collection="v", key="id", changed_at=None, fields=("name",))
    with opened(url) as probe:
        for spec in (SPEC, view, None):
            assert said[kind] in probe.prove_read_only(spec)
    engine.dispose()


def test_a_session_that_is_not_read_only_is_proved_by_the_right_that_its_login_lacks(schemas: str) -> None:
    with psycopg.connect(schemas, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS looker")
        admin.execute("CREATE ROLE looker LOGIN")
        admin.execute("GRANT SELECT ON t TO looker")
    with opened(schemas.replace("postgres@", "looker@")) as probe:
        writable(probe)
        assert probe.prove_read_only(SPEC) == "a write is refused: the login has no such right (42501)"


def test_a_write_that_fails_for_another_reason_proves_nothing(schemas: str) -> None:
    with psycopg.connect(schemas, autocommit=True) as admin:
        admin.execute("CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY, name text)")
    spec = ReadSpec(data_type="g", collection="g", key="id", changed_at=None, fields=("name",))
    with opened(schemas) as probe:
        writable(probe)
        with pytest.raises(UnprovedError, match="not proved"):
            probe.prove_read_only(spec)
        with pytest.raises(ProbeError, match="would have been accepted"):
            probe.prove_read_only(SPEC)
        with pytest.raises(UnprovedError):
            probe.prove_read_only(None)


def writable(probe: SqlProbe) -> None:
    """Make the probe's one session what no setting of ours makes it: one that may write."""

    def open_it(raw: Any, _: Any) -> None:
        raw.execute("SET default_transaction_read_only = off")

    sa.event.listen(probe._engine, "connect", open_it)


@pytest.mark.parametrize(
    ("dialect", "error", "proves"),
    [
        ("mariadb", pymysql.err.OperationalError(1792, "Cannot execute statement in a READ ONLY transaction"), True),
        ("mariadb", pymysql.err.OperationalError(1142, "UPDATE command denied"), True),
        ("mariadb", pymysql.err.OperationalError(1906, "The value specified for generated column"), False),
        ("mysql", pymysql.err.OperationalError(1288, "The target table v of the UPDATE is not updatable"), False),
        ("postgresql", psycopg.errors.ReadOnlySqlTransaction(), True),
        ("postgresql", psycopg.errors.GeneratedAlways(), False),
        ("postgresql", psycopg.errors.ObjectNotInPrerequisiteState(), False),
        ("sqlite", sqlite3.OperationalError("attempt to write a readonly database"), True),
        ("sqlite", sqlite3.OperationalError("cannot modify v because it is a view"), False),
    ],
)
def test_only_a_refusal_proves_that_nothing_can_be_written(dialect: str, error: Exception, proves: bool) -> None:
    assert bool(dialect_of(read_url(f"{dialect}:///x"), 5).refusal(error)) == proves


# -- what keeps a connection from being opened


def refused(url: str) -> ProbeError:
    with opened(url) as probe, pytest.raises(ProbeError) as failed:
        probe.fetch(SPEC, [1])
    return failed.value


def test_a_missing_sqlite_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    told = refused(f"sqlite:///{tmp_path}/nowhere.db")
    assert told.reason is Reason.UNREACHABLE
    assert told.message == f"there is no file {tmp_path}/nowhere.db"
    assert "check the path in the system's url" in told.hint
    assert "port" not in told.hint


def test_a_relative_sqlite_file_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused("sqlite:///nowhere.db").message == f"there is no file {tmp_path}/nowhere.db"
    assert refused("sqlite:///file:nowhere.db?uri=true").message == f"there is no file {tmp_path}/nowhere.db"


def test_what_is_no_sqlite_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("id;name\n" * 200)
    told = refused(f"sqlite:///{tmp_path}/text.db")
    assert told.reason is Reason.DECODE
    assert told.message == f"{tmp_path}/text.db is not a SQLite database"
    assert refused(f"sqlite:///{tmp_path}").message == f"{tmp_path} is a folder"


def test_a_damaged_sqlite_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE t (id integer PRIMARY KEY, name text)")
        made.executemany("INSERT INTO t VALUES (?, ?)", [(each, "x" * 900) for each in range(200)])
    made.close()
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 8192 + file.read_bytes()[12288:])
    assert refused(f"sqlite:///{file}").message == f"the SQLite database {file} is damaged"


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_where_nothing_listens_a_sentence_says_so_and_what_to_check(kind: str) -> None:
    told = refused(f"{kind}://someone@127.0.0.1:{free_port()}/x")
    assert told.reason is Reason.UNREACHABLE
    assert "onnection refused" in told.message
    assert "127.0.0.1" in told.message
    assert "Errno" not in str(told)
    assert told.message[0] != "("
    assert told.hint == WHERE_IT_RUNS


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_an_unknown_database_is_a_matter_of_its_name(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    told = refused(f"{url.rpartition('/')[0]}/nowhere")
    assert told.reason is Reason.QUERY
    assert "nowhere" in told.message
    assert told.hint == "check the name of the database in the system's url"


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_an_unknown_user_is_a_matter_of_the_login(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    told = refused(f"{kind}://nobody_here:word@{url.rpartition('@')[2]}")
    assert told.reason is Reason.AUTH
    assert told.hint == "check user and password of the system's url"


def test_a_role_that_may_not_log_in_is_a_matter_of_the_login(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE revoked NOLOGIN")
    try:
        assert refused(sa.make_url(postgresql_url).set(username="revoked").render_as_string()).reason is Reason.AUTH
    finally:
        with psycopg.connect(postgresql_url, autocommit=True) as admin:
            admin.execute("DROP ROLE revoked")


@pytest.mark.parametrize(
    "url", ["postgresql://u@h:99999/db", "mariadb://u@h:0/db", "postgresql://h1:5432,h2:70000/db"]
)
def test_a_port_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not between 1 and 65535"):
        SqlSettings(kind="sql", url=url)
