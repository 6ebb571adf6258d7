"""What an answer of a database may cost: bytes are counted as they come, and one large record spoils no other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from probes.contract import ProbeError, ReadSpec, Reason
from probes.queues.message import PAYLOAD_LIMIT
from probes.queues.sql_queue import SqlQueueProbe, SqlQueueSettings
from probes.records.sql.bounded_drivers import ROWS_LIMIT_BYTES
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from tests.attacks.rows import MIB, TABLES, Table

GROWN_LIMIT_BYTES = 300 * MIB

PATIENT_S = 120.0
"""No deadline is meant to pass here."""

READS = Path(__file__).with_name("reads.py")

DIALECTS = ("postgresql", "mariadb", "sqlite")


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database that may be given large values."""

    url: str
    engine: sa.Engine

    def fill(self, table: Table) -> None:
        self.run(f"CREATE TABLE wide (id integer PRIMARY KEY, value {self.text})")
        value = {
            "postgresql": ":begins || repeat('x', :count)",
            "mariadb": "concat(:begins, repeat('x', :count))",
            "sqlite": ":begins || substr(replace(hex(zeroblob((:count + 1) / 2)), '00', 'xx'), 1, :count)",
        }[self.engine.dialect.name]
        for identity, size in enumerate(table.sizes, 1):
            count = size - len(table.begins.encode())
            values = {"id": identity, "begins": table.begins, "count": count}
            self.run(f"INSERT INTO wide (id, value) VALUES (:id, {value})", values)

    @property
    def text(self) -> str:
        """A type of text without a limit."""
        return "longtext" if self.engine.dialect.name == "mariadb" else "text"

    def put(self, table: str, values: dict[str, Any]) -> None:
        names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        self.run(f"INSERT INTO {table} ({names}) VALUES ({places})", values)

    def run(self, statement: str, values: dict[str, Any] | None = None) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values or {})


@pytest.fixture(params=DIALECTS)
def database(request: pytest.FixtureRequest) -> Any:
    url = request.getfixturevalue(f"{request.param}_url")
    driver = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}[request.param]
    made = sa.make_url(url).set(drivername=driver)
    if request.param == "mariadb":
        admin = sa.create_engine(made)
        with admin.begin() as connection:
            connection.execute(sa.text(f"SET GLOBAL max_allowed_packet = {128 * MIB}"))
        admin.dispose()
        made = made.update_query_dict({"max_allowed_packet": str(128 * MIB)})
    engine = sa.create_engine(made)
    yield Database(url=url, engine=engine)
    engine.dispose()


def measured(task: str, url: str, keys: Sequence[int]) -> dict[str, Any]:
    """What a process of its own has read, and by how much it has grown meanwhile."""
    words = json.dumps({"task": task, "url": url, "keys": list(keys), "timeout": PATIENT_S})
    ended = subprocess.run([sys.executable, READS, words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("name", TABLES)
def test_memory_is_bounded_and_only_what_is_too_large_is_left_out(database: Database, name: str) -> None:
    table = TABLES[name]
    database.fill(table)
    keys = range(1, len(table.sizes) + 1)
    found = measured("fetch", database.url, keys)
    assert found["grown_bytes"] < GROWN_LIMIT_BYTES, found
    assert found["error"] is None
    assert set(found["read"]) | {int(key) for key in found["unreadable"]} == set(keys)
    assert set(found["read"]) <= set(table.readable)
    if not table.begins and sum(size for size in table.sizes if size < ROWS_LIMIT_BYTES) < 64 * MIB:
        assert sorted(found["read"]) == table.readable
    for why in found["unreadable"].values():
        assert why.startswith("too_large: "), why
        assert "xxx" not in why


def test_a_list_of_rows_that_are_too_large_is_a_named_error_and_its_keys_are_listed(database: Database) -> None:
    database.fill(TABLES["twenty rows of 20 MB"])
    for task in ("page", "changed"):
        found = measured(task, database.url, ())
        assert found["grown_bytes"] < GROWN_LIMIT_BYTES, found
        assert found["error"].startswith("too_large: an answer of more than 16 MiB")
        assert measured(f"{task} of keys", database.url, ())["read"] == list(range(1, 21))


def probe_of(database: Database) -> SqlProbe:
    return SqlProbe(
        SqlSettings.model_validate({"kind": "sql", "url": database.url, "budget": {"timeout": PATIENT_S}})
    )


def test_a_connection_is_as_good_as_new_after_an_answer_that_was_broken_off(database: Database) -> None:
    database.fill(Table(sizes=(20_000_000, 5)))
    probe = probe_of(database)
    spec = ReadSpec(data_type="wide", collection="wide", key="id", changed_at=None, fields=("value",))
    for _ in range(3):
        with pytest.raises(ProbeError) as caught:
            probe.fetch(spec, [1, 2])
        assert caught.value.reason is Reason.TOO_LARGE
        assert [tuple(row) for row in probe.fetch(spec, [2])] == [(2, None, "xxxxx")]
    probe.close()


def test_an_answer_just_below_the_limit_is_read(database: Database) -> None:
    size = ROWS_LIMIT_BYTES - 10_000
    database.fill(Table(sizes=(size,)))
    probe = probe_of(database)
    spec = ReadSpec(data_type="wide", collection="wide", key="id", changed_at=None, fields=("value",))
    for _ in range(3):  # each answer is counted anew
        ((_, _, value),) = probe.fetch(spec, [1])
        assert len(value) == size
    probe.close()


# -- queues in tables


def letters_in(database: Database, payload: str, count: int) -> dict[str, Any]:
    """What is read of so many letters of one payload."""
    text = database.text
    database.run(f"CREATE TABLE letters (id integer PRIMARY KEY, payload {text}, reason {text}, attempts integer)")
    database.put("letters", {"id": 1, "payload": payload, "reason": "reason 1", "attempts": 3})
    for identity in range(2, count + 1):
        values = {"id": identity, "reason": f"reason {identity}"}
        database.run("INSERT INTO letters SELECT :id, payload, :reason, attempts FROM letters WHERE id = 1", values)
    return measured("queue", database.url, ())


def test_payloads_of_twenty_megabytes_are_cut_and_every_letter_is_seen(database: Database) -> None:
    payload = '{"id": 1, "more": "' + "x" * 14_000_000 + '"}'
    found = letters_in(database, payload, 20)
    assert found["grown_bytes"] < GROWN_LIMIT_BYTES, found
    assert [each["letter_id"] for each in found["letters"]] == [str(at) for at in range(1, 21)]
    assert [each["reason"] for each in found["letters"]] == [f"reason {at}" for at in range(1, 21)]
    assert {each["key"] for each in found["letters"]} == {None}  # too long to be read into
    assert found["depth"] == 20


def test_many_letters_that_come_to_too_much_are_read_few_at_a_time(database: Database) -> None:
    payload = '{"id": 7, "more": "' + "x" * (PAYLOAD_LIMIT - 1000) + '"}'
    found = letters_in(database, payload, 200)
    assert found["grown_bytes"] < GROWN_LIMIT_BYTES, found
    assert [each["letter_id"] for each in found["letters"]] == [str(at) for at in range(1, 201)]
    assert {each["key"] for each in found["letters"]} == {"7"}
    assert found["letters"][-1]["reason"] == "reason 200"


def test_a_letter_too_large_to_be_cut_is_known_by_its_identity_alone(sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url)
    database = Database(url=sqlite_url, engine=engine)
    letters_in(database, '{"id": 5}', 3)
    database.run("UPDATE letters SET payload = :payload WHERE id = 2", {"payload": "x" * 20_000_000})
    found = measured("queue", sqlite_url, ())
    engine.dispose()
    assert [(each["letter_id"], each["key"], each["reason"]) for each in found["letters"]] == [
        ("1", "5", "reason 1"),
        ("2", None, None),
        ("3", "5", "reason 3"),
    ]


def test_the_reason_of_a_traceback_is_still_its_last_line(sqlite_url: str) -> None:
    probe = SqlQueueProbe(
        SqlQueueSettings(kind="sql_queue", system="s", table="letters", reason="reason"),
        SqlSettings.model_validate({"kind": "sql", "url": sqlite_url}),
    )
    engine = sa.create_engine(sqlite_url)
    database = Database(url=sqlite_url, engine=engine)
    database.run("CREATE TABLE letters (id integer PRIMARY KEY, reason text)")
    database.put("letters", {"id": 1, "reason": "Traceback (most recent call last):\n  File\nValueError: no stock\n"})
    assert [letter.reason for letter in probe.read(10).letters] == ["ValueError: no stock"]
    probe.close()
    engine.dispose()


def test_wide_texts_of_sqlite_count_as_what_they_take_in_memory(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/wide.sqlite"
    database = Database(url=url, engine=sa.create_engine(url))
    database.fill(Table(sizes=(7 * MIB,) * 2, begins="\N{PILE OF POO}"))
    probe = probe_of(database)
    spec = ReadSpec(data_type="wide", collection="wide", key="id", changed_at=None, fields=("value",))
    with pytest.raises(ProbeError) as failed:
        probe.fetch(spec, [1, 2])
    assert failed.value.reason is Reason.TOO_LARGE
    assert [len(row[-1]) for row in probe.fetch(spec, [2])] == [7 * MIB - 3]
    probe.close()
