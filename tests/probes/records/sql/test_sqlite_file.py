"""Reading a SQLite file makes and changes nothing, however it is spelt and whoever writes it meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from probes.call_deadline import within
from probes.contract import ProbeError, ReadSpec, Reason
from probes.records.sql import sqlite_file
from probes.records.sql.database_url import read_url
from probes.records.sql.dialects.dialect import dialect_of
from probes.records.sql.probe import SqlProbe
from probes.records.sql.sessions import Sessions
from probes.records.sql.settings import SqlSettings
from probes.records.sql.sqlite_file import REFUSALS, NotReadyError, WrittenMeanwhileError, open_sqlite, undisturbed
from tests.attacks.database_urls import SQLITE, UNLOCKING_MARIADB, UNLOCKING_POSTGRESQL

SPEC = ReadSpec(data_type="t", collection="things", key="id", changed_at=None, fields=("name",), key_type="integer")
MODES = ("delete", "wal")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which programs are started, and the databases in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(path: Path, mode: str, *names: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute(f"PRAGMA journal_mode={mode}")
        file.execute("CREATE TABLE IF NOT EXISTS things (id integer PRIMARY KEY, name text)")
        file.executemany("INSERT INTO things (name) VALUES (?)", [(name,) for name in names])


def seen(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in a folder: what it is called, when it was changed, and what it holds."""
    return {
        str(each.relative_to(folder)): (each.stat().st_mode, each.stat().st_mtime_ns, each.read_bytes())
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }


WRITER = """
import sqlite3, sys
writer = sqlite3.connect("data.db", isolation_level=None)
for line in sys.stdin:
    writer.execute(line).fetchall()
    print("done", flush=True)
"""


@contextlib.contextmanager
def another_program() -> Iterator[Callable[[str], None]]:
    """One that has the database open until the end."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None

        def execute(statement: str) -> None:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write(f"{statement}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "done\n"

        try:
            yield execute
        finally:
            writer.stdin.close()
            writer.wait()


@contextlib.contextmanager
def opened(url: str) -> Iterator[SqlProbe]:
    probe = SqlProbe(SqlSettings(kind="sql", url=url, zone="UTC"))
    try:
        yield probe
    finally:
        probe.close()


def names(url: str) -> list[str]:
    with opened(url) as probe:
        return [row[2] for row in probe.page(SPEC, None, 100).rows]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spelling", SQLITE.values(), ids=SQLITE.keys())
def test_no_spelling_of_a_url_makes_or_changes_anything(folder: Path, mode: str, spelling: str) -> None:
    path = folder / "own" / "data.db"
    path.parent.mkdir()
    made(path, mode, "one")
    before = seen(folder)
    url = spelling.format(path=path, relative="own/data.db", folder=path.parent)
    told = read(url)
    assert told == "['one'], read-only" or told.startswith(("refused: ", "unreachable: "))
    assert "Boxk4mpfer" not in told
    assert seen(folder) == before


def read(url: str) -> str:
    """What became of reading it."""
    try:
        found = names(url)
        with opened(url) as probe:
            return f"{found}, read-only" if probe.prove_read_only(SPEC) else str(found)
    except ValidationError as refused:
        return f"refused: {refused.errors(include_url=False, include_input=False)[0]['msg']}"
    except ProbeError as failure:
        return str(failure)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "spelling",
    [
        SQLITE[name]
        for name in ("whole path", "relative", "address", "read-only", "empty host", "local host", "driver")
    ],
)
def test_what_is_meant_one_way_is_read(folder: Path, mode: str, spelling: str) -> None:
    made(folder / "data.db", mode, "one")
    assert names(spelling.format(path=folder / "data.db", relative="data.db")) == ["one"]


@pytest.mark.parametrize(
    "name", ["a#b.db", "a?mode=rwc.db", "a%23.db", "a b.db", "ü.db", "a;b.db", "file_a.db", "a&b.db"]
)
def test_a_file_of_an_odd_name_is_read(folder: Path, name: str) -> None:
    made(folder / name, "wal", name)
    before = seen(folder)
    quoted = quote(name)
    assert names(f"sqlite:///file:{folder}/{quoted}") == [name]
    assert names(f"sqlite:///{folder}/{quoted}") == [name]
    assert seen(folder) == before


def test_an_idle_database_is_read_where_nothing_could_be_made(folder: Path) -> None:
    made(folder / "data.db", "wal", "one")
    folder.chmod(0o555)
    try:
        assert names(f"sqlite:///{folder}/data.db") == ["one"]
    finally:
        folder.chmod(0o755)


def test_a_link_to_an_idle_database_is_read(folder: Path) -> None:
    (folder / "real").mkdir()
    made(folder / "real" / "data.db", "wal", "one")
    (folder / "link.db").symlink_to("real/data.db")
    before = seen(folder)
    assert names("sqlite:///link.db") == ["one"]
    with contextlib.closing(sqlite3.connect(folder / "real" / "data.db", isolation_level=None)) as writer:
        writer.execute("INSERT INTO things (name) VALUES ('two')")
        assert names("sqlite:///link.db") == ["one", "two"]
    assert seen(folder).keys() == before.keys()


def test_a_change_by_a_program_that_comes_and_goes_is_seen(folder: Path) -> None:
    made(folder / "data.db", "wal", "one")
    with opened("sqlite:///data.db") as probe:

        def now() -> list[str]:
            return [row[2] for row in probe.page(SPEC, None, 100).rows]

        assert now() == ["one"]
        made(folder / "data.db", "wal", "two")
        assert now() == ["one", "two"]
        with another_program() as execute:
            execute("INSERT INTO things (name) VALUES ('three')")
            before = seen(folder)
            assert now() == ["one", "two", "three"]
            assert seen(folder) == before
            execute("INSERT INTO things (name) VALUES ('four')")
            assert now() == ["one", "two", "three", "four"]
            execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert now() == ["one", "two", "three", "four"]
            execute("INSERT INTO things (name) VALUES ('five')")
            assert now()[-1] == "five"
        with another_program() as execute:
            execute("INSERT INTO things (name) VALUES ('six')")
        assert now()[-1] == "six"


COMES_AND_GOES = """
import sqlite3
for number in range(400):
    writer = sqlite3.connect("data.db", timeout=30)
    with writer:
        writer.execute("INSERT INTO things (name) VALUES ('n' || ?)", (number,))
    writer.close()
"""


def test_a_program_that_comes_and_goes_all_the_time_disturbs_no_read(folder: Path) -> None:
    made(folder / "data.db", "wal", "one")
    with subprocess.Popen([sys.executable, "-c", COMES_AND_GOES]) as writer, opened("sqlite:///data.db") as probe:
        read, met = 0, 0
        while writer.poll() is None:
            rows = [row[2] for row in probe.page(SPEC, None, 1000).rows]
            assert rows == ["one", *(f"n{number}" for number in range(len(rows) - 1))]
            assert len(rows) >= met
            met, read = len(rows), read + 1
        assert read
        assert len(probe.page(SPEC, None, 1000).rows) == 401
    assert (
        writer.returncode,
        {each.name for each in folder.iterdir()} <= {"data.db", "data.db-wal", "data.db-shm"},
    ) == (
        0,
        True,
    )


@pytest.mark.parametrize(
    ("error", "answers"), [(WrittenMeanwhileError, [*range(1, 3 * REFUSALS)]), (NotReadyError, [*range(1, REFUSALS)])]
)
def test_a_file_that_changes_is_read_again_longer_than_one_that_cannot_be_opened(
    error: type[ProbeError], answers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "PAUSE_S", 0.0)

    def answered_after(failures: int) -> bool:
        left = [error(Reason.UNREACHABLE, "no", hint="wait")] * failures

        @undisturbed
        def read() -> bool:
            if left:
                raise left.pop()
            return True

        try:
            return read()
        except error:
            return False

    assert [number for number in range(1, 3 * REFUSALS) if answered_after(number)] == answers


def test_a_file_that_never_stays_as_it_is_fails_within_its_call() -> None:
    @undisturbed
    def read() -> None:
        raise WrittenMeanwhileError(Reason.UNREACHABLE, "it was written while it was read", hint="it is read again")

    with within(0.2), pytest.raises(WrittenMeanwhileError, match="while it was read"):
        read()


def test_what_a_killed_program_left_is_read_and_left(folder: Path) -> None:
    made(folder / "data.db", "wal", "one")
    killed = "import os, sqlite3; w = sqlite3.connect('data.db', isolation_level=None); "
    killed += "w.execute(\"INSERT INTO things (name) VALUES ('two')\"); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    before = seen(folder)
    assert set(before) == {"data.db", "data.db-shm", "data.db-wal"}
    assert names("sqlite:///data.db") == ["one", "two"]
    assert seen(folder) == before
    (folder / "data.db-shm").unlink()
    before = seen(folder)
    with pytest.raises(ProbeError, match=r"changes in data\.db-wal that no program has open"):
        names("sqlite:///data.db")
    assert seen(folder) == before


def test_a_journal_that_a_killed_program_left_is_not_rolled_back(folder: Path) -> None:
    made(folder / "data.db", "delete", "one")
    killed = "import os, sqlite3; w = sqlite3.connect('data.db', isolation_level=None); "
    killed += "w.execute('PRAGMA cache_size=1'); w.execute('BEGIN IMMEDIATE'); "
    killed += "[w.execute('INSERT INTO things (name) VALUES (?)', ('x' * 3000,)) for _ in range(50)]; "
    killed += "os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    before = seen(folder)
    assert "data.db-journal" in before
    with pytest.raises(ProbeError):
        names("sqlite:///data.db")
    assert seen(folder) == before


def aged(path: Path) -> None:
    """Make a file's last write one of a minute ago."""
    written = path.stat().st_mtime - 60
    os.utime(path, (written, written))


def test_what_is_read_while_a_file_changes_does_not_count(folder: Path) -> None:
    made(folder / "data.db", "wal", "one")
    aged(folder / "data.db")
    settings = SqlSettings(kind="sql", url="sqlite:///data.db", zone="UTC")
    sessions = Sessions(settings, dialect_of(read_url("sqlite:///data.db"), 5))

    def written_meanwhile() -> None:
        with sessions.session() as connection:
            connection.exec_driver_sql("SELECT name FROM things").fetchall()
            made(folder / "data.db", "wal", "two")

    with pytest.raises(ProbeError, match="written or replaced while it was read") as failed:
        written_meanwhile()
    assert failed.value.retryable
    sessions.close()


def test_two_writes_within_a_tick_of_the_clock_are_told_apart(folder: Path) -> None:
    made(folder / "data.db", "wal", "one")
    os.utime(folder / "data.db")
    with pytest.raises(WrittenMeanwhileError, match="a moment ago"):
        open_sqlite("data.db", {}, 1)
    aged(folder / "data.db")
    with contextlib.closing(open_sqlite("data.db", {}, 1)) as connection:
        assert connection.stamp is not None


def test_a_log_that_was_removed_during_a_read_spoils_it(folder: Path) -> None:
    made(folder / "data.db", "wal", "one")
    with another_program() as execute:
        execute("INSERT INTO things (name) VALUES ('two')")
        connection = open_sqlite("data.db", {}, 1)
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (2,)
        assert not connection.spoilt
        (folder / "data.db").read_bytes()  # which gives up the locks of this process
    assert not (folder / "data.db-wal").exists()
    assert connection.spoilt
    connection.close()


def test_a_log_is_removed_when_its_last_writer_ends_after_a_read(folder: Path) -> None:
    made(folder / "data.db", "wal", "one")
    with opened("sqlite:///data.db") as probe, opened("sqlite:///data.db") as other:
        with another_program() as execute:
            execute("INSERT INTO things (name) VALUES ('two')")
            assert read_names(probe) == read_names(other) == ["one", "two"]
        assert [each.name for each in folder.iterdir()] == ["data.db"]
        assert read_names(probe) == read_names(other) == ["one", "two"]


def moved_away(folder: Path) -> None:
    (folder / "data.db").rename(folder / "old.db")


def deleted(folder: Path) -> None:
    (folder / "data.db").unlink()


def read_names(probe: SqlProbe) -> list[str]:
    return [row[2] for row in probe.page(SPEC, None, 100).rows]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("gone", [moved_away, deleted])
def test_a_file_that_is_gone_is_not_read_any_more(folder: Path, mode: str, gone: Callable[[Path], None]) -> None:
    made(folder / "data.db", mode, "one")
    with opened("sqlite:///data.db") as probe, another_program() as execute:
        execute("INSERT INTO things (name) VALUES ('two')")
        assert read_names(probe) == ["one", "two"]
        gone(folder)
        for _ in range(2):
            with pytest.raises(ProbeError, match="there is no file") as failed:
                read_names(probe)
            assert failed.value.reason is Reason.UNREACHABLE
        made(folder / "data.db", "delete", "back")
        assert read_names(probe) == ["back"]


@pytest.mark.parametrize("mode", MODES)
def test_another_file_in_its_place_is_read_instead(folder: Path, mode: str) -> None:
    made(folder / "data.db", mode, "one")
    made(folder / "new.db", mode, "uno", "due")
    with opened("sqlite:///data.db") as probe:
        assert read_names(probe) == ["one"]
        (folder / "new.db").replace(folder / "data.db")
        assert read_names(probe) == ["uno", "due"]


def test_no_cache_keeps_what_a_file_held_that_is_gone(folder: Path) -> None:
    made(folder / "data.db", "delete", "one")
    made(folder / "new.db", "delete", "two")
    url = "sqlite:///file:data.db?uri=true&cache=shared"
    with opened(url) as first, opened(url) as other:
        assert read_names(first) == read_names(other) == ["one"]
        (folder / "new.db").replace(folder / "data.db")
        assert read_names(first) == ["two"]
        assert read_names(other) == ["two"]


def test_a_link_that_leads_elsewhere_is_followed(folder: Path) -> None:
    made(folder / "one.db", "delete", "one")
    made(folder / "two.db", "delete", "two")
    (folder / "data.db").symlink_to("one.db")
    with opened("sqlite:///data.db") as probe:
        assert read_names(probe) == ["one"]
        (folder / "other").symlink_to("two.db")
        (folder / "other").replace(folder / "data.db")
        assert read_names(probe) == ["two"]


def test_a_folder_that_was_replaced_is_noticed(folder: Path) -> None:
    for name in ("real", "restored"):
        (folder / name).mkdir()
        made(folder / name / "data.db", "delete", name)
    with opened(f"sqlite:///{folder}/real/data.db") as probe:
        assert read_names(probe) == ["real"]
        (folder / "real").rename(folder / "broken")
        with pytest.raises(ProbeError, match="there is no file"):
            read_names(probe)
        (folder / "restored").rename(folder / "real")
        assert read_names(probe) == ["restored"]


def test_what_is_read_while_a_file_is_replaced_does_not_count(folder: Path) -> None:
    made(folder / "data.db", "delete", "one")
    made(folder / "new.db", "delete", "two")
    sessions = Sessions(
        SqlSettings(kind="sql", url="sqlite:///data.db", zone="UTC"), dialect_of(read_url("sqlite:///data.db"), 5)
    )

    def replaced_meanwhile() -> None:
        with sessions.session() as connection:
            connection.exec_driver_sql("SELECT name FROM things").fetchall()
            (folder / "new.db").replace(folder / "data.db")

    with pytest.raises(ProbeError, match="written or replaced while it was read") as failed:
        replaced_meanwhile()
    assert failed.value.retryable
    with sessions.session() as connection:
        assert connection.exec_driver_sql("SELECT name FROM things").scalar() == "two"
    sessions.close()


def test_a_pipe_is_no_database(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ProbeError, match="not a regular file"):
        names("sqlite:///pipe")


@pytest.mark.parametrize("asked", UNLOCKING_POSTGRESQL.values(), ids=UNLOCKING_POSTGRESQL.keys())
def test_no_parameter_unlocks_a_session_of_postgresql(postgresql_url: str, asked: str) -> None:
    refuse_or_hold(f"{postgresql_url}?{asked}")


@pytest.mark.parametrize("asked", UNLOCKING_MARIADB.values(), ids=UNLOCKING_MARIADB.keys())
def test_no_parameter_unlocks_a_session_of_mariadb(mariadb_url: str, asked: str) -> None:
    refuse_or_hold(f"{mariadb_url}?{asked}")


def refuse_or_hold(url: str) -> None:
    """A URL is refused, or its session is read-only by the server's own word."""
    try:
        with opened(url) as probe:
            assert "read_only = 1" in (told := probe.prove_read_only(None)) or "read_only = on" in told
    except ValidationError:
        return


def test_the_environment_unlocks_no_session(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = tmp_path / "services"
    service.write_text("[open]\noptions=-c default_transaction_read_only=off\n")
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=off")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    for url in (postgresql_url, f"{postgresql_url}?service=open"):
        with opened(url) as probe:
            assert "transaction_read_only = on" in probe.prove_read_only(None)


def test_no_file_of_options_unlocks_a_session_of_mariadb(mariadb_url: str, tmp_path: Path) -> None:
    (tmp_path / "my.cnf").write_text("[client]\ninit-command=SET SESSION tx_read_only=0\nlocal-infile=1\n")
    with opened(f"{mariadb_url}?read_default_file={tmp_path}/my.cnf") as probe:
        assert "read_only = 1" in probe.prove_read_only(None)
