"""The queue kept in a table: depth, age, letters; on real databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues.sql_queue import SqlQueueProbe, SqlQueueSettings
from probes.records.rest.settings import RestSettings
from probes.records.sql.settings import SqlSettings
from tests.attacks import messages
from tests.probes.harness import all_letters, assert_told

SETTINGS = {
    "kind": "sql_queue",
    "system": "app",
    "table": "failed",
    "key": "record",
    "since": "failed_at",
    "reason": "error",
    "attempts": "tries",
    "where": {"target": "billing"},
}


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def url(request: pytest.FixtureRequest) -> str:
    made: str = request.getfixturevalue(f"{request.param}_url")
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
    engine = sa.create_engine(sa.make_url(made).set(drivername=drivers[request.param]))
    stamp = "text" if request.param == "sqlite" else "timestamp"
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE failed (id integer, record varchar(20), error varchar(50), tries integer, "
                f"failed_at {stamp}, target varchar(20))"
            )
        )
        for number in range(5):
            connection.execute(
                sa.text("INSERT INTO failed VALUES (:n, :r, 'no', 3, :at, :t)"),
                {
                    "n": number,
                    "r": f"cus_{number}",
                    "at": f"2026-03-01 00:00:0{9 - number}",
                    "t": "billing" if number < 4 else "other",
                },
            )
    engine.dispose()
    return made


def probe_of(url: str, **changed: object) -> SqlQueueProbe:
    budget = {"timeout": changed.pop("timeout", "5s")}
    system = SqlSettings.model_validate(
        {"kind": "sql", "url": url, "zone": changed.pop("zone", "UTC"), "budget": budget}
    )
    return SqlQueueProbe(SqlQueueSettings.model_validate({**SETTINGS, **changed}), system)


def test_tells_depth_and_age_and_its_letters_page_by_page(url: str) -> None:
    asked = probe_of(url)
    assert isinstance(asked, QueueProbe)
    reading = asked.read(2)
    assert reading.depth == 4
    assert reading.oldest_at == datetime(2026, 3, 1, 0, 0, 6, tzinfo=UTC)
    assert [(letter.key, letter.reason, letter.attempts) for letter in reading.letters] == [
        ("cus_0", "no", 3),
        ("cus_1", "no", 3),
    ]
    assert reading.truncated
    rest = asked.read(5, reading.next)
    assert ([letter.key for letter in rest.letters], rest.truncated) == (["cus_2", "cus_3"], False)
    assert asked.read(5, rest.next).letters == ()
    assert asked.read(0).depth == 4
    assert "read-only" in asked.prove_read_only()


def test_a_key_may_stand_in_a_json_payload(url: str) -> None:
    reading = probe_of(url, key="$.id", payload="record").read(2)
    assert [letter.key for letter in reading.letters] == [None, None], "cus_0 is no JSON"
    with pytest.raises(ValueError, match="say payload: COLUMN"):
        probe_of(url, key="$.id")


IDENTITIES: dict[str, tuple[dict[str, str], list[str]]] = {
    "whole numbers": ({"": "bigint"}, ["-3", "0", "9", "10", "9007199254740993"]),
    "texts": ({"": "varchar(20)"}, ["'10'", "'9'", "'B'", "'c'", "'é'", "'a:b'"]),
    "long texts": ({"": "text"}, ["'10'", "'9'", "'B'", "'c'", "'é'"]),
    "decimals": ({"": "numeric(30, 2)"}, ["-1.5", "0", "9.25", "10"]),
    "floats": ({"": "double precision"}, ["-1.5", "0", "0.1", "9.25", "1e300"]),
    "bytes": (
        {"postgresql": "bytea", "mariadb": "varbinary(9)", "sqlite": "blob"},
        ["x'00'", "x'41c3'", "x'ff41'", "x'ff'"],
    ),
    "UUIDs": (
        {"postgresql": "uuid", "mariadb": "uuid", "sqlite": "text"},
        [f"'0{number}000000-0000-0000-0000-00000000000{9 - number}'" for number in range(5)],
    ),
    "texts that are not UTF-8": (
        {"sqlite": "text"},
        ["'a'", "CAST(x'41c3' AS text)", "CAST(x'ff41' AS text)", "CAST(x'eda080' AS text)", "'z'"],
    ),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_page_goes_on_behind_an_identity_of_any_type(url: str, name: str) -> None:
    types, identities = IDENTITIES[name]
    engine = _engine(url)
    dialect = engine.dialect.name
    type_ = types.get(dialect, types.get(""))
    if type_ is None:
        pytest.skip(f"{dialect} holds none")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE odd (id {type_})")
        for each in identities:
            shown = rf"'\{each.replace(chr(39), '')}'" if type_ == "bytea" else each
            connection.exec_driver_sql(f"INSERT INTO odd VALUES ({shown})")
    engine.dispose()
    asked = probe_of(url, table="odd", key=None, since=None, reason=None, attempts=None, where={})
    met: list[str] = []
    after: str | None = None
    for _ in identities:
        reading = asked.read(1, after)
        met += [letter.letter_id for letter in reading.letters]
        after = reading.next
    assert (len(met), len(set(met))) == (len(identities), len(identities))
    assert asked.read(1, after).letters == ()


def test_an_empty_queue_has_depth_0_and_no_age(url: str) -> None:
    reading = probe_of(url, where={"target": "nobody"}).read(10)
    assert (reading.depth, reading.oldest_at, reading.letters, reading.truncated) == (0, None, (), False)


def test_an_age_that_the_table_does_not_tell_is_unknown_and_not_0(url: str) -> None:
    reading = probe_of(url, since=None).read(10)
    assert (reading.depth, reading.oldest_at) == (4, None)


def test_names_a_wrong_column(url: str) -> None:
    with pytest.raises(ProbeError, match="did you mean 'record'"):
        probe_of(url, key="recrd").read(1)


def test_refuses_an_instant_without_a_zone(url: str) -> None:
    with pytest.raises(ProbeError, match="say zone: of the system app") as failed:
        probe_of(url, zone=None).read(1)
    assert failed.value.reason is Reason.DECODE


def test_refuses_a_system_that_is_no_database() -> None:
    api = RestSettings.model_validate({"kind": "rest", "url": "http://127.0.0.1:1"})
    with pytest.raises(ProbeError, match="name a system of kind: sql"):
        SqlQueueProbe(SqlQueueSettings.model_validate(SETTINGS), api)  # type: ignore[arg-type]


def test_failed_jobs_of_procrastinate_are_letters_with_the_key_in_their_arguments(postgresql_url: str) -> None:
    """The columns are those of procrastinate_jobs, which keeps no reason and no time of the failure."""
    engine = sa.create_engine(postgresql_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE procrastinate_jobs (id bigserial PRIMARY KEY, queue_name text, task_name text,"
                " args jsonb, status text, scheduled_at timestamptz, attempts int)"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts) VALUES "
                """('billing', 'sync', '{"customer": {"id": "cus_1"}}', 'failed', 5),"""
                """('billing', 'sync', '{"customer": {"id": "cus_2"}}', 'succeeded', 1)"""
            )
        )
    engine.dispose()
    words = {"table": "procrastinate_jobs", "payload": "args", "key": "$.customer.id", "where": {"status": "failed"}}
    reading = probe_of(postgresql_url, since=None, reason=None, attempts="attempts", **words).read(10)
    assert (reading.depth, reading.oldest_at) == (1, None)
    assert [(each.key, each.attempts, each.reason) for each in reading.letters] == [("cus_1", 5, None)]
    waiting = {**words, "where": {"status": "todo"}}
    assert probe_of(postgresql_url, since=None, reason=None, attempts=None, role="main", **waiting).read(0).depth == 0


def test_failed_tasks_of_celery_tell_the_error_and_nothing_is_unpickled(mariadb_url: str) -> None:
    """The columns are those of celery_taskmeta; `result` holds a pickle and is never read."""
    engine = sa.create_engine(mariadb_url.replace("mariadb://", "mariadb+pymysql://"))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE celery_taskmeta (id integer, task_id varchar(155), status varchar(50), result blob,"
                " date_done datetime, traceback text)"
            )
        )
        for number, status in enumerate(("FAILURE", "SUCCESS", "FAILURE")):
            connection.execute(
                sa.text("INSERT INTO celery_taskmeta VALUES (:n, :t, :s, :r, '2026-03-01 00:00:00', :b)"),
                {
                    "n": number,
                    "t": f"task-{number}",
                    "s": status,
                    "r": b"cos\nsystem\n(S'exit 1'\ntR.",
                    "b": 'Traceback (most recent call last):\n  File "a.py", line 3\nValueError: no e-mail\n',
                },
            )
    engine.dispose()
    words: dict[str, Any] = {"table": "celery_taskmeta", "letter_id": "task_id", "reason": "traceback"}
    where = {"status": "FAILURE"}
    reading = probe_of(mariadb_url, since="date_done", key=None, attempts=None, where=where, **words).read(1)
    assert (reading.depth, reading.truncated) == (2, True)
    assert [(each.letter_id, each.reason) for each in reading.letters] == [("task-0", "ValueError: no e-mail")]
    assert reading.oldest_at == datetime(2026, 3, 1, tzinfo=UTC)


def _engine(url: str) -> sa.Engine:
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
    made = sa.make_url(url)
    return sa.create_engine(made.set(drivername=drivers[made.drivername]))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_messages_of_any_content_are_letters(url: str, kind: str) -> None:
    engine = _engine(url)
    binary = "bytea" if engine.dialect.name == "postgresql" else "longblob"
    words = "longtext" if engine.dialect.name in {"mariadb", "mysql"} else "text"
    made = {name: payload for name, payload in messages.PAYLOADS.items() if kind == "bytes" or _is_text(payload)}
    with engine.begin() as connection:
        connection.execute(
            sa.text(f"CREATE TABLE odd (id integer, body {words if kind == 'text' else binary}, e text)")
        )
        for at, payload in enumerate((*made.values(), messages.GOOD)):
            row = {"n": at, "b": payload.decode() if kind == "text" else payload, "e": "x" * 60_000}
            connection.execute(sa.text("INSERT INTO odd VALUES (:n, :b, :e)"), row)
    engine.dispose()
    for key in ("$.id", "$..id"):
        asked = probe_of(
            url, table="odd", key=key, payload="body", since=None, reason="e", attempts=None, where={}, timeout="60s"
        )
        depth, letters = all_letters(asked)
        assert (depth, len(letters), letters[-1].key) == (len(made) + 1, len(made) + 1, messages.GOOD_KEY)
        if key == "$.id":
            told = dict(zip(made, letters, strict=False))
            if told["empty"].payload is None:
                told.pop("empty")  # the beginning of an empty BLOB is NULL to SQLite
            assert_told(told, told.values())


def _is_text(payload: bytes) -> bool:
    try:
        return "\0" not in payload.decode()
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("odd", ["garbage", "0000-00-00 00:00:00", "-infinity", "infinity", "4713-01-01 BC", ""])
def test_a_row_whose_instant_is_none_keeps_no_other_from_being_read(url: str, odd: str) -> None:
    engine = _engine(url)
    written = "0000-00-00" if "BC" in odd and engine.dialect.name in {"mariadb", "mysql"} else odd
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name in {"mariadb", "mysql"}:
            connection.execute(sa.text("SET sql_mode = ''"))
            connection.execute(sa.text("ALTER TABLE failed MODIFY failed_at datetime"))
        if engine.dialect.name == "postgresql" and odd in {"garbage", "0000-00-00 00:00:00", ""}:
            connection.execute(sa.text("ALTER TABLE failed ALTER failed_at TYPE text"))
        row = {"at": written}
        connection.execute(sa.text("INSERT INTO failed VALUES (9, 'cus_9', 'no', 3, :at, 'billing')"), row)
    engine.dispose()
    reading = probe_of(url).read(10)
    assert reading.depth == 5
    letters = {letter.letter_id: letter for letter in reading.letters}
    assert [letter.key for letter in reading.letters] == ["cus_0", "cus_1", "cus_2", "cus_3", "cus_9"]
    assert (letters["9"].first_failed_at, letters["9"].unreadable) == (None, "its failed_at is no instant")
    assert letters["0"].first_failed_at == datetime(2026, 3, 1, 0, 0, 9, tzinfo=UTC)
    smallest = reading.oldest_at is None
    assert smallest == ("the age of its oldest message is not known" in "; ".join(reading.notes))


def test_identities_that_repeat_are_letters_of_their_own(url: str) -> None:
    engine = _engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE failed SET id = 1"))
    engine.dispose()
    reading = probe_of(url).read(10)
    assert (reading.depth, len({letter.letter_id for letter in reading.letters})) == (4, 4)
