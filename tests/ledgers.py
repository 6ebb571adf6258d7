"""Ledgers that are empty and up to date: migrated once, then copied for every test that needs one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import psycopg
import sqlalchemy as sa

from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.storage.private_files import write

TEMPLATE = "empty_ledger"


def at(file: Path) -> Ledger:
    """A ledger in a new SQLite file."""
    put(file)
    return Ledger(f"sqlite:///{file}")


def put(file: Path) -> None:
    """Write the file of a ledger that has an identity of its own."""
    write(file, _migrated())
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE installation SET ledger = ?", (uuid4().hex,))


@cache
def _migrated() -> bytes:
    """The migrations take longer than most tests."""
    with TemporaryDirectory() as place:
        ledger = Ledger(f"sqlite:///{place}/ledger.sqlite")
        ledger.migrate()
        ledger.close()
        with closing(sqlite3.connect(f"{place}/ledger.sqlite")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path(place, "ledger.sqlite").read_bytes()


@cache
def template(server: str) -> str:
    """The database of a PostgreSQL server from which databases with a ledger are created.

    Args:
        server: its URL, without a database's name.
    """
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {TEMPLATE}")
    ledger = Ledger(f"{server}/{TEMPLATE}")
    ledger.migrate()
    ledger.close()
    return TEMPLATE


def rename(url: str) -> None:
    """Give a copy in PostgreSQL an identity of its own."""
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("UPDATE installation SET ledger = %s", (uuid4().hex,))


def rows(ledger: Ledger, table: str) -> list[dict[str, Any]]:
    """What a table holds, by the names of its columns."""
    found, _ = ledger.exports.snapshot({table: 0}, files_since=0)
    names = [name for name, _ in ledger.exports.columns(table)]
    return [dict(zip(names, row, strict=True)) for row in found[table]]


def count(ledger: Ledger, table: str) -> int:
    """How many rows a table holds."""
    with ledger.database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(t.metadata.tables[table])).scalar_one())
