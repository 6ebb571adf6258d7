"""The sync worker: takes jobs from the queue and writes them to billing and the warehouse.

In its first minute it is often late, drops a job, does it twice, writes an older version over a newer one, or gives
up and leaves a dead letter, or loads cents where units are meant. Somebody else edits billing by hand, and sales and
billing change the status of one customer at the same time. After that minute all of this is rare. A nightly repair,
every few minutes here, mends most of it.
"""

from __future__ import annotations

import json
import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.company import PLANS, STATUSES, Company, person, stamp

FAULTS = {"late": 0.05, "dropped": 0.025, "twice": 0.01, "stale": 0.012, "dead": 0.02, "cents": 0.02}
LATE_S = (15.0, 60.0)
BAD_S = 60.0
"""How long faults are frequent at first; they are `RARE` times as rare after that."""

RARE = 40
REPAIR_EVERY_S = 240.0
BATCH = 20


class Business:
    """Everyday work: customers sign up and change, invoices are issued and paid."""

    def __init__(self, company: Company, chance: random.Random) -> None:
        self._company = company
        self._chance = chance

    def act(self) -> None:
        """Do one thing, and queue the jobs that carry it to the other systems."""
        deed = self._chance.random()
        if deed < 0.08:
            self._sign_up()
        elif deed < 0.65:
            self._change_customer()
        elif deed < 0.85:
            self._invoice()
        else:
            self._pay()

    def _sign_up(self) -> None:
        with self._company.open("crm") as crm:
            number = crm.execute("SELECT count(*) FROM customers").fetchone()[0] + 1
            row = (f"cus_{number:05d}", *person(self._chance), stamp())
            crm.execute("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", row)
        self._carry_customer(row)

    def _change_customer(self) -> None:
        with self._company.open("crm") as crm:
            known = crm.execute("SELECT * FROM customers ORDER BY random() LIMIT 1").fetchone()
            plan, status = self._chance.choice(PLANS), self._chance.choice(STATUSES)
            row = (known[0], known[1], known[2], plan, status, stamp())
            crm.execute("UPDATE customers SET plan = ?, status = ?, updated_at = ? WHERE id = ?", (*row[3:], row[0]))
        self._carry_customer(row)

    def _carry_customer(self, row: tuple[Any, ...]) -> None:
        for target in ("billing", "warehouse"):
            self.queue(target, "customer", row[0], row)

    def _invoice(self) -> None:
        with self._company.open("billing") as billing:
            number = billing.execute("SELECT count(*) FROM invoices").fetchone()[0] + 1
            customer = billing.execute("SELECT id FROM customers ORDER BY random() LIMIT 1").fetchone()[0]
            cents = self._chance.randrange(900, 90_000)
            row = (f"inv_{number:05d}", customer, cents, self._chance.choice(("EUR", "USD")), "open", stamp())
            billing.execute("INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?)", row)
        self.queue("warehouse", "invoice", row[0], row)

    def _pay(self) -> None:
        with self._company.open("billing") as billing:
            known = billing.execute(
                "SELECT * FROM invoices WHERE state = 'open' ORDER BY random() LIMIT 1"
            ).fetchone()
            if known is None:
                return
            row = (*known[:4], "paid", stamp())
            billing.execute("UPDATE invoices SET state = 'paid', updated_at = ? WHERE id = ?", (row[5], row[0]))
        self.queue("warehouse", "invoice", row[0], row)

    def edit_by_hand(self) -> None:
        """Somebody in billing changes a customer: the status, which billing may, or the plan, which it may not."""
        column, values = self._chance.choice((("status", STATUSES), ("plan", PLANS)))
        with self._company.open("billing") as billing:
            billing.execute(
                f"UPDATE customers SET {column} = ?, updated_at = ? "
                "WHERE id = (SELECT id FROM customers ORDER BY random() LIMIT 1)",
                (self._chance.choice(values), stamp()),
            )

    def argue(self) -> None:
        """Sales cancels a customer whom billing marks as late at the same time, and neither hears of the other."""
        with self._company.open("crm") as crm:
            (key,) = crm.execute(
                "SELECT id FROM customers WHERE status = 'active' ORDER BY random() LIMIT 1"
            ).fetchone()
            crm.execute("UPDATE customers SET status = 'cancelled', updated_at = ? WHERE id = ?", (stamp(), key))
        with self._company.open("billing") as billing:
            billing.execute("UPDATE customers SET status = 'past_due', updated_at = ? WHERE id = ?", (stamp(), key))
        with self._company.open("crm") as crm:
            row = crm.execute("SELECT * FROM customers WHERE id = ?", (key,)).fetchone()
        self.queue("warehouse", "customer", key, row)

    def queue(self, target: str, entity: str, key: str, row: tuple[Any, ...], delay_s: float = 0) -> None:
        """Put one job into the queue."""
        now = datetime.now(UTC)
        with self._company.open("sync") as sync:
            sync.execute(
                "INSERT INTO jobs (target, entity, key, payload, queued_at, not_before) VALUES (?, ?, ?, ?, ?, ?)",
                (target, entity, key, json.dumps(row), stamp(now), stamp(now + timedelta(seconds=delay_s))),
            )


class Worker:
    """Carries jobs to their targets, with all its faults.

    Attributes:
        faulty: how frequent they are: 1 for as frequent as `FAULTS` says.
    """

    def __init__(self, company: Company, chance: random.Random) -> None:
        self._company = company
        self._chance = chance
        self.faulty = 1.0

    def work(self) -> int:
        """Do the jobs that are due; answers how many."""
        with self._company.open("sync") as sync:
            if _switch(sync, "worker") == "stopped":
                return 0
            jobs = sync.execute(
                "SELECT id, target, entity, key, payload FROM jobs WHERE not_before <= ? ORDER BY id LIMIT ?",
                (stamp(), BATCH),
            ).fetchall()
        for number, target, entity, key, payload in jobs:
            self._do(number, target, entity, key, json.loads(payload))
        return len(jobs)

    def _do(self, number: int, target: str, entity: str, key: str, row: list[Any]) -> None:
        fault = self._fault()
        if fault == "late":
            later = datetime.now(UTC) + timedelta(seconds=self._chance.uniform(*LATE_S))
            with self._company.open("sync") as sync:
                sync.execute("UPDATE jobs SET not_before = ? WHERE id = ?", (stamp(later), number))
            return
        if fault == "dead":
            error = self._chance.choice(
                (f"422 from {target}: email of {key} is not valid", f"409 from {target}: {key} is locked")
            )
            with self._company.open("sync") as sync:
                sync.execute(
                    "INSERT INTO dead_letters SELECT id, target, entity, key, payload, ?, 5, ? FROM jobs "
                    "WHERE id = ?",
                    (error, stamp(), number),
                )
        elif fault != "dropped":
            if fault == "cents" and entity == "invoice":
                row = [*row[:2], row[2] * 100, *row[3:]]
            write(self._company, target, entity, row, twice=fault == "twice" and target == "warehouse")
            if fault == "stale" and entity == "customer":
                older = [*row[:3], self._chance.choice(PLANS), row[4], row[5]]
                write(self._company, target, entity, older)
        with self._company.open("sync") as sync:
            sync.execute("DELETE FROM jobs WHERE id = ?", (number,))

    def _fault(self) -> str:
        drawn = self._chance.random()
        for name, share in FAULTS.items():
            drawn -= share * self.faulty
            if drawn < 0:
                return name
        return ""

    def repair(self) -> None:
        """Bring most copies back to what their owners hold, and empty the dead letters."""
        with self._company.open("sync") as sync:
            sync.execute("DELETE FROM dead_letters WHERE failed_at < ?", (_ago(90),))
        with self._company.open("crm") as crm:
            customers = crm.execute("SELECT * FROM customers WHERE updated_at < ?", (_ago(60),)).fetchall()
        with self._company.open("billing") as billing:
            invoices = billing.execute("SELECT * FROM invoices WHERE updated_at < ?", (_ago(60),)).fetchall()
        for row in customers:
            if self._chance.random() < 0.9:
                write(self._company, "billing", "customer", list(row))
                write(self._company, "warehouse", "customer", list(row))
        for row in invoices:
            if self._chance.random() < 0.9:
                write(self._company, "warehouse", "invoice", list(row))


def _ago(seconds: float) -> str:
    return stamp(datetime.now(UTC) - timedelta(seconds=seconds))


def _switch(sync: Any, name: str) -> str:
    row = sync.execute("SELECT value FROM switches WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else ""


def write(company: Company, target: str, entity: str, row: list[Any], *, twice: bool = False) -> None:
    """Write one record to a target, replacing what was there."""
    now = stamp()
    with company.open(target) as database:
        if target == "billing":
            database.execute("INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?, ?)", (*row[:5], now))
            return
        if entity == "customer":
            database.execute("DELETE FROM dim_customer WHERE customer_id = ?", (row[0],))
            loaded = [(*row[:5], now)] * (2 if twice else 1)
            database.executemany("INSERT INTO dim_customer VALUES (?, ?, ?, ?, ?, ?)", loaded)
        else:
            database.execute("DELETE FROM fact_invoice WHERE invoice_id = ?", (row[0],))
            loaded = [(row[0], row[1], f"{row[2] / 100:.2f}", row[3], row[4], now)] * (2 if twice else 1)
            database.executemany("INSERT INTO fact_invoice VALUES (?, ?, ?, ?, ?, ?)", loaded)


def live(company: Company, chance: random.Random, stop: threading.Event, *, per_s: float) -> None:
    """Run the business and the worker until told to stop."""
    business, worker = Business(company, chance), Worker(company, chance)
    beat = 0
    repair_beats, bad_beats = max(1, int(REPAIR_EVERY_S * per_s)), int(BAD_S * per_s)
    while not stop.wait(1 / per_s):
        beat += 1
        business.act()
        rare = 1 if beat <= bad_beats else RARE
        worker.faulty = 1 / rare
        if beat % (40 * rare) == 10:
            business.edit_by_hand()
        if beat % (90 * rare) == 30:
            business.argue()
        if beat % repair_beats == 0:
            worker.repair()
        worker.work()
