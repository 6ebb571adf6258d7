"""Everyday work: customers sign up and change, invoices are issued and paid; jobs carry it to the other systems."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from demo.company import COPIES, CUSTOMER, PLANS, Company, person
from demo.conditions import Conditions
from demo.stores import Row, stamp


class Business:
    """Changes records at their owners, and queues the jobs that carry them.

    Attributes:
        disputed: customers of whom two teams hold different values; daily work leaves them alone.
    """

    def __init__(self, company: Company, conditions: Conditions, chance: random.Random) -> None:
        self.company = company
        self.chance = chance
        self.disputed: set[str] = set()
        self._conditions = conditions

    def act(self) -> None:
        """Do one thing, if the system that it is done in can be reached."""
        deed = self.chance.random()
        if deed < 0.65:
            if "crm" not in self._conditions.down:
                self.sign_up() if deed < 0.06 else self.change(self.any_customer(), plan=self.chance.choice(PLANS))
        elif deed < 0.85:
            self.invoice(self.chance.randrange(900, 90_000))
        else:
            self.pay()

    def now(self, system: str) -> str:
        """The time by a system's clock."""
        return stamp(datetime.now(UTC) + timedelta(seconds=self._conditions.clock_s.get(system, 0.0)))

    # -- customers

    def sign_up(self) -> str:
        """A new customer, who is welcomed; returns its key."""
        with self.company.open("crm") as crm:
            key = f"cus_{_next(crm, 'customers'):05d}"
            row = (key, *person(self.chance), self.now("crm"), self.now("crm"))
            crm.execute("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            crm.execute("INSERT INTO welcomes VALUES (?, 'welcome', ?)", (key, self.now("crm")))
        self.carry(row)
        self.queue(("messaging",), "welcome", (key, "welcome"))
        return key

    def any_customer(self, status: str = "") -> str:
        """The key of some customer of the CRM that is not in dispute, with this status if one is given."""
        asked = "SELECT id FROM customers WHERE ? IN (status, '') ORDER BY random()"
        with self.company.open("crm") as crm:
            return next(str(key) for (key,) in crm.execute(asked, (status,)) if key not in self.disputed)

    def change(self, key: str, *, carried: bool = True, **values: str) -> None:
        """Change a customer in the CRM, and carry it to all copies."""
        row = self.edit("crm", key, **values)
        if carried:
            self.carry(row)

    def edit(self, system: str, key: str, **values: str) -> Row:
        """Change a customer in one system, and nowhere else; returns the row."""
        assert values.keys() < set(CUSTOMER)
        settings = ", ".join(f"{name} = ?" for name in values)
        with self.company.open(system) as database:
            database.execute(
                f"UPDATE customers SET {settings}, updated_at = ? WHERE id = ?",
                (*values.values(), self.now(system), key),
            )
            row: Row = database.execute("SELECT * FROM customers WHERE id = ?", (key,)).fetchone()
        return row

    def delete(self, key: str) -> None:
        """Delete a customer in the CRM; a bus with tombstones tells the copies."""
        with self.company.open("crm") as crm:
            crm.execute("DELETE FROM customers WHERE id = ?", (key,))
            crm.execute("DELETE FROM welcomes WHERE id = ?", (key,))
        if self._conditions.tombstones:
            self.queue(COPIES, "deleted customer", (key,))
            self.queue(("messaging",), "deleted welcome", (key,))

    def carry(self, row: Row) -> None:
        """Queue a customer for all its copies."""
        self.queue(COPIES, "customer", row)

    def carry_all(self, *targets: str) -> None:
        """Queue every customer for these copies, as a nightly reconciliation does."""
        with self.company.open("crm") as crm:
            rows = crm.execute("SELECT * FROM customers").fetchall()
        self.queue(targets, "customer", *rows)

    # -- money

    def invoice(self, cents: int) -> str:
        """Issue an invoice; returns its key."""
        with self.company.open("billing") as billing:
            key = f"inv_{_next(billing, 'invoices'):05d}"
            customer = billing.execute("SELECT id FROM customers ORDER BY random() LIMIT 1").fetchone()[0]
            row = (key, customer, cents, self.chance.choice(("EUR", "USD")), "open", self.now("billing"))
            billing.execute("INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?)", row)
        self.queue(("warehouse",), "invoice", row)
        return key

    def correct(self, key: str, cents: int) -> None:
        """Correct the amount of an invoice."""
        with self.company.open("billing") as billing:
            billing.execute(
                "UPDATE invoices SET amount_cents = ?, updated_at = ? WHERE id = ?", (cents, self.now("billing"), key)
            )
            row = billing.execute("SELECT * FROM invoices WHERE id = ?", (key,)).fetchone()
        self.queue(("warehouse",), "invoice", row)

    def pay(self, key: str = "") -> str:
        """Somebody pays an open invoice, by default any; returns its key, or "" if none is open."""
        with self.company.open("billing") as billing:
            known = billing.execute(
                "SELECT * FROM invoices WHERE state = 'open' AND amount_cents > 0 AND (id = ? OR ? = '') "
                "ORDER BY random() LIMIT 1",
                (key, key),
            ).fetchone()
            if known is None:
                return ""
            row = (*known[:4], "paid", self.now("billing"))
            billing.execute("UPDATE invoices SET state = 'paid', updated_at = ? WHERE id = ?", (row[5], row[0]))
        self.queue(("warehouse",), "invoice", row)
        self.charge(row)
        return str(row[0])

    def charge(self, invoice: Row) -> None:
        """Charge the customer of an invoice; with an idempotency key, an invoice is never charged twice."""
        with self.company.open("billing") as billing:
            asked = "SELECT count(*) FROM payments WHERE invoice_id = ?"
            if self._conditions.idempotent and billing.execute(asked, (invoice[0],)).fetchone()[0]:
                return
            key = f"pay_{_next(billing, 'payments'):05d}"
            row = (key, invoice[0], invoice[2], invoice[3], self.now("billing"))
            billing.execute("INSERT INTO payments VALUES (?, ?, ?, ?, ?)", row)
        self.queue(("warehouse",), "payment", row)

    def refund_doubles(self) -> None:
        """Take back every payment but the first of each invoice."""
        with self.company.open("billing") as billing:
            doubles = [
                key
                for (key,) in billing.execute(
                    "SELECT id FROM payments WHERE id NOT IN (SELECT min(id) FROM payments GROUP BY invoice_id)"
                )
            ]
            billing.executemany("DELETE FROM payments WHERE id = ?", [(key,) for key in doubles])
        self.queue(("warehouse",), "deleted payment", *((key,) for key in doubles))

    # -- the queue

    def queue(self, targets: Sequence[str], entity: str, *rows: Row) -> None:
        """Put a job for each row and target into the queue; a row begins with its key."""
        self.company.queue.put([(target, entity, row[0], json.dumps(row)) for row in rows for target in targets])


def _next(database: sqlite3.Connection, table: str) -> int:
    """A number that no record of a table has had."""
    newest = database.execute(f"SELECT max(id) FROM {table}").fetchone()[0]
    return int(newest[4:]) + 1
