"""Two small systems to set up: a source of truth and a copy, in SQLite files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from auditor.setup.addresses import Entered, NewSystem, pair_of

RECORDS = 12


def fill(place: Path, *, alike: bool = False) -> None:
    """Write both systems: unless they are alike, record 7 differs, and the copy lacks record 9."""
    rows = [(n, f"Customer {n}", n / 4, f"2026-01-{n:02} 10:00:00") for n in range(1, RECORDS + 1)]
    with closing(sqlite3.connect(place / "crm.sqlite")) as crm, crm:
        crm.executescript(
            "CREATE TABLE customers (id integer PRIMARY KEY, name text, balance numeric, updated_at timestamp);"
            "CREATE TABLE notes (id integer PRIMARY KEY, body text);"
        )
        crm.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
    with closing(sqlite3.connect(place / "warehouse.sqlite")) as warehouse, warehouse:
        warehouse.executescript(
            "CREATE TABLE dim_customer (customer_id integer PRIMARY KEY, full_name text, balance numeric);"
        )
        copies = [
            (n, name, 99 if n == 7 and not alike else balance) for n, name, balance, _ in rows if n != 9 or alike
        ]
        warehouse.executemany("INSERT INTO dim_customer VALUES (?, ?, ?)", copies)


def database(address: str, password: str = "", **more: str) -> Entered:
    """A database, as a person enters it."""
    words = {"url": address, **({"password": password} if password else {})}
    return Entered(words=words, **more)


def systems_in(place: Path) -> tuple[NewSystem, NewSystem]:
    """Both systems, as entered."""
    owner, copy = (database(f"sqlite:///{place}/{name}.sqlite") for name in ("crm", "warehouse"))
    return pair_of(owner, copy, {})
