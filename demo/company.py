"""The company's six systems round a bus, each with a database of its own.

CRM, billing, marketing, a document store and messaging answer over HTTP (`demo.server`); the warehouse is queried in
SQL. The bus has a queue of jobs and the dead letters of those that their target refused. The document store, the
warehouse and the bus may be servers instead (`demo.engines`).
"""

from __future__ import annotations

import random
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.engines import Engines
from demo.stores import LOADED, PLACES, JobTable, Queue, Tables, Writer, stamp

CUSTOMERS = 400
INVOICES = 300
PLANS = ("free", "team", "business")
STATUSES = ("trial", "active", "cancelled")
FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Emre", "Fatima", "Goran", "Hana", "Iris", "João", "Kim", "Lena")
LAST = ("Okafor", "Nguyen", "Silva", "Kowalski", "Yıldız", "Sørensen", "Haddad", "Müller", "Rossi", "Tanaka")

CUSTOMER = ("id", "name", "email", "plan", "status", "signed_at", "updated_at")
INVOICE = ("id", "customer_id", "amount_cents", "currency", "state", "updated_at")
PAYMENT = ("id", "invoice_id", "amount_cents", "currency", "updated_at")

_CUSTOMERS = """
    CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT, email TEXT, plan TEXT, status TEXT, signed_at TEXT,
        updated_at TEXT NOT NULL);
    CREATE INDEX customers_changed ON customers (updated_at);"""

SCHEMAS = {
    "crm": f"""{_CUSTOMERS}
        CREATE TABLE welcomes (id TEXT PRIMARY KEY, template TEXT NOT NULL, updated_at TEXT NOT NULL);
        CREATE INDEX welcomes_changed ON welcomes (updated_at);""",
    "billing": f"""{_CUSTOMERS}
        CREATE TABLE invoices (id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, amount_cents INTEGER NOT NULL,
            currency TEXT NOT NULL, state TEXT NOT NULL, updated_at TEXT NOT NULL);
        CREATE TABLE payments (id TEXT PRIMARY KEY, invoice_id TEXT NOT NULL, amount_cents INTEGER NOT NULL,
            currency TEXT NOT NULL, updated_at TEXT NOT NULL);
        CREATE INDEX invoices_changed ON invoices (updated_at);
        CREATE INDEX payments_changed ON payments (updated_at);""",
    "marketing": _CUSTOMERS,
    "documents": _CUSTOMERS,
    "messaging": f"""{_CUSTOMERS}
        CREATE TABLE mails (number INTEGER PRIMARY KEY AUTOINCREMENT, customer_id TEXT NOT NULL,
            template TEXT NOT NULL, updated_at TEXT NOT NULL);
        CREATE INDEX mails_changed ON mails (updated_at);
        CREATE INDEX mails_of ON mails (customer_id);""",
    "warehouse": """
        CREATE TABLE dim_customer (customer_id TEXT NOT NULL, full_name TEXT, email TEXT, plan TEXT,
            status TEXT, signed_at TEXT, loaded_at TEXT NOT NULL);
        CREATE INDEX dim_customer_id ON dim_customer (customer_id);
        CREATE TABLE fact_invoice (invoice_id TEXT NOT NULL, customer_id TEXT, amount TEXT, currency TEXT,
            state TEXT, loaded_at TEXT NOT NULL);
        CREATE INDEX fact_invoice_id ON fact_invoice (invoice_id);
        CREATE TABLE fact_payment (payment_id TEXT NOT NULL, invoice_id TEXT, amount TEXT, currency TEXT,
            loaded_at TEXT NOT NULL);
        CREATE INDEX fact_payment_id ON fact_payment (payment_id);""",
    "bus": """
        CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, entity TEXT NOT NULL,
            key TEXT NOT NULL, payload TEXT NOT NULL, queued_at TEXT NOT NULL);
        CREATE INDEX jobs_target ON jobs (target, id);
        CREATE TABLE dead_letters (id INTEGER PRIMARY KEY, target TEXT NOT NULL, entity TEXT NOT NULL,
            key TEXT NOT NULL, payload TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL,
            failed_at TEXT NOT NULL);""",
}

FOUNDED = "engines"
"""The file that says to which company the servers belong."""

COPIES = ("billing", "marketing", "documents", "messaging", "warehouse")
"""The systems that have a copy of each customer."""


class Company:
    """The company's databases.

    Args:
        folder: of its files.
        engines: servers that take the place of some of them.
    """

    def __init__(self, folder: Path, engines: Engines | None = None) -> None:
        self.folder = folder
        self.queue: Queue = JobTable(lambda: self.open("bus")) if engines is None else engines.queue
        self._engines = engines

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

    @contextmanager
    def writer(self, target: str) -> Iterator[Writer]:
        """A transaction of the bus in a copy.

        Raises:
            StoreError: its server cannot be used.
        """
        if self._engines is not None and target in self._engines.systems:
            with self._engines.writer(target) as writer:
                yield writer
        else:
            with self.open(target) as database:
                yield Tables(database, LOADED if target == "warehouse" else PLACES)

    def found(self, chance: random.Random) -> None:
        """Set the company up, in perfect agreement; a company that is set up is left alone.

        Raises:
            StoreError: one of its servers cannot be used.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        founded = self.folder / FOUNDED
        if self._engines is None:
            if not self.path("bus").exists():
                founded.unlink(missing_ok=True)
                self._fill(chance)
                self._make("bus")
        elif not founded.exists() or founded.read_text() != self._engines.founded():
            identity = secrets.token_hex(16)
            with self._engines.founding(identity):
                self._fill(chance)
            founded.write_text(identity)

    def _fill(self, chance: random.Random) -> None:
        """Make all systems but the bus."""
        for system in (*SCHEMAS, "sync"):  # what a founding that was interrupted, or an earlier version, has left
            for leftover in self.folder.glob(f"{system}.sqlite*"):
                leftover.unlink()
        for system in SCHEMAS:
            if system != "bus" and (self._engines is None or system not in self._engines.systems):
                self._make(system)
        at = datetime.now(UTC)
        before = stamp(at - timedelta(hours=2))
        customers = [
            (f"cus_{number:05d}", *person(chance), stamp(at - timedelta(days=chance.uniform(1, 900))), before)
            for number in range(1, CUSTOMERS + 1)
        ]
        invoices = [
            (
                f"inv_{number:05d}",
                chance.choice(customers)[0],
                chance.randrange(900, 90_000),
                chance.choice(("EUR", "USD")),
                chance.choice(("open", "paid")),
                before,
            )
            for number in range(1, INVOICES + 1)
        ]
        payments = [
            (f"pay_{each[0][4:]}", each[0], each[2], each[3], before) for each in invoices if each[4] == "paid"
        ]
        welcomes = [(each[0], "welcome", before) for each in customers]
        for system in ("crm", "billing", "marketing", "messaging"):
            with self.open(system) as database:
                database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)", customers)
        with self.open("crm") as crm:
            crm.executemany("INSERT INTO welcomes VALUES (?, ?, ?)", welcomes)
        with self.open("messaging") as messaging:
            messaging.executemany("INSERT INTO mails (customer_id, template, updated_at) VALUES (?, ?, ?)", welcomes)
        with self.open("billing") as billing:
            billing.executemany("INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?)", invoices)
            billing.executemany("INSERT INTO payments VALUES (?, ?, ?, ?, ?)", payments)
        with self.writer("documents") as documents:
            for row in customers:
                documents.put("customer", row)
        with self.writer("warehouse") as warehouse:
            for row in customers:
                warehouse.put("customer", row)
            for key, customer, cents, currency, state, at_ in invoices:
                warehouse.put("invoice", (key, customer, units(cents), currency, state, at_))
            for key, invoice, cents, currency, at_ in payments:
                warehouse.put("payment", (key, invoice, units(cents), currency, at_))

    def _make(self, system: str) -> None:
        connection = sqlite3.connect(self.path(system))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(SCHEMAS[system])
        connection.close()


def units(cents: int) -> str:
    """An amount in units of its currency, as the warehouse has it."""
    return f"{cents / 100:.2f}"


def person(chance: random.Random) -> tuple[str, str, str, str]:
    """A customer's name, e-mail address, plan and status."""
    first, last = chance.choice(FIRST), chance.choice(LAST)
    address = f"{first}.{last}{chance.randrange(1_000_000)}@example.com".lower()
    return f"{first} {last}", address, chance.choice(PLANS), chance.choice(STATUSES)
