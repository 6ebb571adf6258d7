"""What only SQL databases do: logins, grants, types, limits of the session."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from probes.contract import ProbeError, ReadSpec, Reason
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from probes.settings import Budget
from tests.probes.harness import SPEC, SqlHarness


def probe_of(url: str, timeout_s: float = 5) -> SqlProbe:
    return SqlProbe(SqlSettings(kind="sql", url=url, zone="UTC", budget=Budget(timeout_s=timeout_s)))


def test_says_auth_for_a_wrong_password(mariadb_url: str) -> None:
    wrong = sa.make_url(mariadb_url).set(password="not-it").render_as_string(hide_password=False)
    with pytest.raises(ProbeError, match="check user and password") as failed:
        probe_of(wrong).fetch(SPEC, [1])
    assert failed.value.reason is Reason.AUTH
    assert "not-it" not in str(failed.value)


def test_says_permission_where_select_is_not_granted(postgresql_url: str) -> None:
    SqlHarness(postgresql_url).close()
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS nobody_special")
        admin.execute("CREATE ROLE nobody_special LOGIN")
    url = postgresql_url.replace("postgres@", "nobody_special@")
    with pytest.raises(ProbeError, match="grant SELECT") as failed:
        probe_of(url).fetch(SPEC, [1])
    assert failed.value.reason is Reason.PERMISSION


def test_says_which_driver_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymysql", None)
    with pytest.raises(ProbeError, match=r"pip install 'plumbline-auditor\[mariadb\]'"):
        probe_of("mariadb://u@127.0.0.1/x")


def test_refuses_an_unknown_dialect() -> None:
    with pytest.raises(ValueError, match="no SQL probe for 'oracle'"):
        SqlSettings(kind="sql", url="oracle://u@h/x")
    with pytest.raises(ValueError, match="a web address, not a database's, which begins with postgresql://"):
        SqlSettings(kind="sql", url="https://app.hubspot.com/contacts/1")


def test_gives_way_to_a_lock(postgresql_url: str) -> None:
    harness = SqlHarness(postgresql_url)
    harness.fill([(1, "one", "2026-03-01T00:00:00+00:00")])
    probe = probe_of(postgresql_url, timeout_s=100)
    probe.fetch(SPEC, [1])
    with psycopg.connect(postgresql_url) as holder:
        holder.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        with pytest.raises(ProbeError) as failed:
            probe.fetch(SPEC, [1])
        assert failed.value.reason is Reason.TIMEOUT
        assert time.monotonic() - begun < 50  # the statement's own deadline comes much later
        holder.rollback()
    harness.close()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_stops_a_statement_at_its_deadline_on_the_server(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    harness = SqlHarness(url)
    sleep = "pg_sleep(30)::text" if kind == "postgresql" else "sleep(30)"
    with harness.engine.begin() as connection:
        connection.execute(sa.text(f"CREATE VIEW slow AS SELECT id, name, changed_at, {sleep} AS z FROM things"))
    harness.fill([(1, "one", "2026-03-01T00:00:00+00:00")])
    spec = ReadSpec(data_type="slow", collection="slow", key="id", changed_at=None, fields=("z",))
    with pytest.raises(ProbeError) as failed:
        probe_of(url, 1).fetch(spec, [1])
    assert failed.value.reason is Reason.TIMEOUT
    harness.close()


def test_identifiers_are_looked_up_and_never_pasted(sqlite_url: str) -> None:
    harness = SqlHarness(sqlite_url)
    spec = ReadSpec(
        data_type="x", collection="things; DROP TABLE things", key="id", changed_at=None, fields=("name",)
    )
    with pytest.raises(ProbeError, match="no table named"):
        probe_of(sqlite_url).fetch(spec, [1])
    odd = ReadSpec(data_type="x", collection="things", key='id" OR 1=1 --', changed_at=None, fields=())
    with pytest.raises(ProbeError, match="no column in things"):
        probe_of(sqlite_url).fetch(odd, [1])
    harness.close()


def test_reads_text_timestamps_with_a_t_between(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.sqlite"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE things (id integer, name text, changed_at text)"))
        connection.execute(sa.text("INSERT INTO things VALUES (1, 'old', '2026-03-01T10:00:00Z')"))
        connection.execute(sa.text("INSERT INTO things VALUES (2, 'new', '2026-03-01T12:00:00Z')"))
    rows = probe_of(url).changed(SPEC, datetime(2026, 3, 1, 11, tzinfo=UTC), 10).rows
    assert [row[0] for row in rows] == [2]
    engine.dispose()


def test_reads_numeric_timestamps_in_their_unit(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.sqlite"
    engine = sa.create_engine(url)
    at = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE things (id integer, name text, changed_at integer)"))
        connection.execute(sa.text(f"INSERT INTO things VALUES (1, 'x', {at}), (2, 'y', {at - 9_000_000})"))
    spec = ReadSpec(
        data_type="t", collection="things", key="id", changed_at="changed_at", fields=("name",), changed_at_unit="ms"
    )
    rows = probe_of(url).changed(spec, datetime(2026, 3, 1, 11, tzinfo=UTC), 10).rows
    assert [row[0] for row in rows] == [1]
    engine.dispose()


def test_closing_from_another_thread_ends_a_call(postgresql_url: str) -> None:
    harness = SqlHarness(postgresql_url)
    probe = probe_of(postgresql_url, 3)
    results: list[object] = []

    def read() -> None:
        try:
            for _ in range(100):
                results.append(probe.fetch(SPEC, [1]))
        except ProbeError as error:
            results.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    probe.close()
    reader.join(10)
    assert not reader.is_alive()
    harness.close()


def test_remarks_on_a_missing_index(sqlite_url: str) -> None:
    harness = SqlHarness(sqlite_url)
    remarks = probe_of(sqlite_url).inspect(SPEC)
    assert remarks == ("things.changed_at has no index: every read scans the table",)
    harness.close()


def test_flows_that_meet_a_table_at_once_share_what_is_known_of_it(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each flow of a system has its thread; a statement must never hold the columns of two descriptions."""
    with sa.create_engine(sqlite_url).begin() as database:
        database.execute(sa.text("CREATE TABLE things (id integer PRIMARY KEY, name text)"))
    probe = probe_of(sqlite_url)
    spec = ReadSpec(data_type="thing", collection="things", key="id", changed_at=None, fields=("name",))
    described, both = probe._reflect, threading.Barrier(2)

    def described_together(spec: ReadSpec) -> object:
        found = described(spec)
        both.wait(30)
        return found

    monkeypatch.setattr(probe, "_reflect", described_together)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(probe._collection(spec))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probe.close()
    assert len(found) == 2
    assert found[0] is found[1]
