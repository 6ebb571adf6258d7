"""The company's systems: a CRM and a warehouse in SQLite, billing in a database behind an HTTP API.

The sync worker's queue and its dead letters stand in a database of their own.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

CUSTOMERS = 400
INVOICES = 300
PLANS = ("free", "team", "business")
STATUSES = ("trial", "active", "past_due", "cancelled")
FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Emre", "Fatima", "Goran", "Hana", "Iris", "João", "Kim", "Lena")
LAST = ("Okafor", "Nguyen", "Silva", "Kowalski", "Yıldız", "Sørensen", "Haddad", "Müller", "Rossi", "Tanaka")

SCHEMAS = {
    "crm": """
        CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT, plan TEXT NOT NULL,
            status TEXT NOT NULL, updated_at TEXT NOT NULL);
        CREATE INDEX customers_changed ON customers (updated_at);""",
    "billing": """
        CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT, email TEXT, plan TEXT, status TEXT,
            updated_at TEXT NOT NULL);
        CREATE TABLE invoices (id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, amount_cents INTEGER NOT NULL,
            currency TEXT NOT NULL, state TEXT NOT NULL, updated_at TEXT NOT NULL);
        CREATE INDEX customers_changed ON customers (updated_at);
        CREATE INDEX invoices_changed ON invoices (updated_at);""",
    "warehouse": """
        CREATE TABLE dim_customer (customer_id TEXT NOT NULL, full_name TEXT, email TEXT, plan TEXT,
            status TEXT, loaded_at TEXT NOT NULL);
        CREATE INDEX dim_customer_id ON dim_customer (customer_id);
        CREATE TABLE fact_invoice (invoice_id TEXT NOT NULL, customer_id TEXT, amount TEXT, currency TEXT,
            state TEXT, loaded_at TEXT NOT NULL);
        CREATE INDEX fact_invoice_id ON fact_invoice (invoice_id);""",
    "sync": """
        CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, entity TEXT NOT NULL,
            key TEXT NOT NULL, payload TEXT NOT NULL, queued_at TEXT NOT NULL, not_before TEXT NOT NULL);
        CREATE TABLE dead_letters (id INTEGER PRIMARY KEY, target TEXT NOT NULL, entity TEXT NOT NULL,
            key TEXT NOT NULL, payload TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL,
            failed_at TEXT NOT NULL);
        CREATE TABLE switches (name TEXT PRIMARY KEY, value TEXT NOT NULL);""",
}


def stamp(at: datetime | None = None) -> str:
    """An instant as the company's systems write it."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S.%f")


class Company:
    """The company's databases in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, system: str) -> Path:
        """The database file of a system."""
        return self.folder / f"{system}.sqlite"

    @contextmanager
    def open(self, system: str) -> Iterator[sqlite3.Connection]:
        """A transaction on a system's database."""
        connection = sqlite3.connect(self.path(system), timeout=10, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()

    def found(self, chance: random.Random) -> None:
        """Set the company up, in perfect agreement but for a few old sins; a set-up company is left alone."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path("sync").exists():
            return
        for system in SCHEMAS:  # what a founding that was interrupted has left
            for leftover in self.folder.glob(f"{system}.sqlite*"):
                leftover.unlink()
        for system in ("crm", "billing", "warehouse"):
            connection = sqlite3.connect(self.path(system))
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMAS[system])
            connection.close()
        before = stamp(datetime.now(UTC) - timedelta(hours=2))
        customers = [(f"cus_{number:05d}", *person(chance), before) for number in range(1, CUSTOMERS + 1)]
        invoices = [
            (
                f"inv_{number:05d}",
                chance.choice(customers)[0],
                # A negative invoice that was synced perfectly: wrong in itself, and no drift.
                -500 if number == 23 else chance.randrange(900, 90_000),
                chance.choice(("EUR", "USD")),
                chance.choice(("open", "paid")),
                before,
            )
            for number in range(1, INVOICES + 1)
        ]
        with self.open("crm") as crm:
            crm.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", customers)
        with self.open("billing") as billing:
            billing.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", customers)
            billing.executemany("INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?)", invoices)
        with self.open("warehouse") as warehouse:
            warehouse.executemany("INSERT INTO dim_customer VALUES (?, ?, ?, ?, ?, ?)", customers)
            warehouse.executemany(
                "INSERT INTO fact_invoice VALUES (?, ?, ?, ?, ?, ?)",
                [(i, c, f"{cents / 100:.2f}", currency, s, at) for i, c, cents, currency, s, at in invoices],
            )
            # Old sins: an orphan, a lost row, a customer loaded twice, and one that billing knows twice.
            warehouse.execute(
                "INSERT INTO dim_customer VALUES ('cus_test1', 'Test Test', 'test@example.com', 'free', 'active', ?)",
                (before,),
            )
            warehouse.execute("DELETE FROM fact_invoice WHERE invoice_id = 'inv_00017'")
            warehouse.execute("INSERT INTO dim_customer SELECT * FROM dim_customer WHERE customer_id = 'cus_00042'")
        with self.open("billing") as billing:
            billing.execute(
                "INSERT INTO customers SELECT 'cus_old7', name, email, 'free', 'cancelled', updated_at "
                "FROM customers WHERE id = 'cus_00007'"
            )
        connection = sqlite3.connect(self.path("sync"))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(SCHEMAS["sync"])
        connection.close()


def person(chance: random.Random) -> tuple[str, str, str, str]:
    """A customer's name, e-mail address, plan and status."""
    first, last = chance.choice(FIRST), chance.choice(LAST)
    address = f"{first}.{last}{chance.randrange(1_000_000)}@example.com".lower()
    return f"{first} {last}", address, chance.choice(PLANS), chance.choice(STATUSES)
