"""A ledger that cannot be used: which it is and what to do, without statements, values and links of a library."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from auditor.ledger import Ledger, LedgerError
from auditor.ledger.database import CONNECTIONS, Database
from tests.auditor.cli.process import auditor
from tests.servers import free_port


def refused(url: str) -> str:
    ledger = Ledger(url)
    with pytest.raises(LedgerError) as failed:
        ledger.migrate()
    ledger.close()
    said = str(failed.value)
    assert "sqlalche" not in said
    assert "[SQL" not in said
    return said


def test_a_ledger_that_is_no_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    file.write_text("not a ledger\n" * 200)
    assert refused(f"sqlite:///{file}") == (
        f"cannot open the ledger {file}: it is not a SQLite database; "
        "restore a backup, or move it away to start a new one"
    )


def test_a_command_says_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "ledger.sqlite").write_text("not a ledger\n" * 200)
    done = auditor("query", "SELECT 1", "--data", tmp_path / "var")
    assert done.returncode != 0
    assert "it is not a SQLite database; restore a backup" in done.stderr
    assert "sqlalche" not in done.stderr


def test_a_table_that_is_gone_while_it_runs_shows_no_statement(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.migrate()
    with sqlite3.connect(file) as broken:
        broken.execute("PRAGMA foreign_keys=OFF")
        broken.execute("DROP TABLE revision")
    broken.close()
    with pytest.raises(LedgerError) as failed, ledger.write():
        pass
    ledger.close()
    assert str(failed.value).startswith(f"cannot use the ledger {file}: a table is missing in it; restore a backup")


def test_a_ledger_whose_connections_are_all_in_use_says_so(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/ledger.sqlite", patience_s=0.01)
    database.migrate()
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(database.read())
        with pytest.raises(LedgerError, match="none of its 20 connections became free") as failed, database.read():
            pass
    assert failed.value.__cause__ is None
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    database.close()


def test_a_ledger_in_postgresql_is_named_without_its_login(postgresql_url: str) -> None:
    at = postgresql_url.rpartition("@")[2]
    unknown = refused(f"postgresql://nobody_here:Boxk4mpfer@{at}")
    assert unknown.startswith(f"cannot open the ledger postgresql://{at}: ")
    assert unknown.endswith("; check user and password in AUDITOR_LEDGER")
    assert "Boxk4mpfer" not in unknown
    elsewhere = refused(f"{postgresql_url.rpartition('/')[0]}/nowhere")
    assert elsewhere.endswith("; check the name of the database in AUDITOR_LEDGER")
    silent = refused(f"postgresql://someone:Boxk4mpfer@127.0.0.1:{free_port()}/x")
    assert silent.endswith("; check host and port in AUDITOR_LEDGER, and whether the server runs")


def test_a_login_without_rights_is_told_which_it_lacks(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS keeper")
        admin.execute("CREATE ROLE keeper LOGIN")
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    said = refused(postgresql_url.replace("postgres@", "keeper@"))
    assert said.endswith("; grant the login of AUDITOR_LEDGER the right to make and write tables")
