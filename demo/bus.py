"""The bus: takes jobs from the queue and writes them to their targets; what a target refuses is dead-lettered."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from demo.business import Row
from demo.company import Company, stamp, units
from demo.conditions import Conditions

BATCH = 200
"""Jobs that are done at a time."""

TRIES = 5
AHEAD = timedelta(hours=2)
"""Local time of the company's office."""


LOADED = {
    "customer": ("dim_customer", "customer_id"),
    "invoice": ("fact_invoice", "invoice_id"),
    "payment": ("fact_payment", "payment_id"),
}
"""By entity, its table in the warehouse and the column with its key."""

Job = tuple[int, str, str, str, str]
"""Number, target, entity, key and payload."""


class RefusedError(Exception):
    """A target does not accept a record."""


class Bus:
    """Carries jobs to their targets, each target's in the order in which they were queued."""

    def __init__(self, company: Company, conditions: Conditions) -> None:
        self._company = company
        self._conditions = conditions
        self._loaded_s = 0.0

    def work(self) -> int:
        """Do the jobs that can be done; returns how many."""
        with self._company.open("bus") as bus:
            jobs = bus.execute("SELECT id, target, entity, key, payload FROM jobs ORDER BY id LIMIT 2000").fetchall()
        taken = self._taken(jobs)
        refused: list[tuple[str, int, str, int]] = []
        for target, mine in taken.items():
            with self._company.open(target) as database:
                for number, _, entity, key, payload in mine:
                    try:
                        self._write(database, target, entity, key, json.loads(payload))
                    except RefusedError as error:
                        refused.append((str(error), TRIES, stamp(), number))
        done = [job[0] for mine in taken.values() for job in mine]
        if done:
            with self._company.open("bus") as bus:
                bus.executemany(
                    "INSERT INTO dead_letters SELECT id, target, entity, key, payload, ?, ?, ? FROM jobs "
                    "WHERE id = ?",
                    refused,
                )
                bus.executemany("DELETE FROM jobs WHERE id = ?", [(number,) for number in done])
        return len(done)

    def _taken(self, jobs: Sequence[Job]) -> Mapping[str, Sequence[Job]]:
        """By target, the jobs that are done in this round."""
        conditions, loading = self._conditions, self._is_time_to_load()
        taken: defaultdict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            _, target, entity, _, _ = job
            if target in conditions.held | conditions.down or (entity == "invoice" and not loading):
                continue
            if target in conditions.slow and taken[target]:
                if conditions.lanes:
                    continue
                break  # the one queue waits for it
            if len(taken[target]) < BATCH:
                taken[target].append(job)
        return taken

    def _is_time_to_load(self) -> bool:
        if time.monotonic() - self._loaded_s < self._conditions.batch_s:
            return False
        self._loaded_s = time.monotonic()
        return True

    def discard(self) -> None:
        """Discard all dead letters; what is in them has been queued again."""
        with self._company.open("bus") as bus:
            bus.execute("DELETE FROM dead_letters")

    def _write(self, database: sqlite3.Connection, target: str, entity: str, key: str, row: Row) -> None:
        """Write one record to a target, replacing what was there.

        Raises:
            RefusedError: the target does not accept it.
        """
        if target == "warehouse":
            self._load(database, entity, key, row)
        elif entity == "customer":
            if target == "billing" and "@" not in row[2]:
                raise RefusedError(f"422 from billing: email of {key} is not valid")
            database.execute("INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)", (*row[:6], stamp()))
        elif entity == "welcome":
            asked = "SELECT count(*) FROM mails WHERE customer_id = ? AND template = ?"
            if not self._conditions.idempotent or not database.execute(asked, row).fetchone()[0]:
                sent = "INSERT INTO mails (customer_id, template, updated_at) VALUES (?, ?, ?)"
                database.execute(sent, (*row, stamp()))
        elif entity == "deleted welcome":
            database.execute("DELETE FROM mails WHERE customer_id = ?", (key,))
        else:
            database.execute("DELETE FROM customers WHERE id = ?", (key,))

    def _load(self, warehouse: sqlite3.Connection, entity: str, key: str, row: Row) -> None:
        """Load one record into the warehouse."""
        table, column = LOADED[entity.removeprefix("deleted ")]
        warehouse.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,))
        values: list[Any] = []
        if entity == "invoice":
            values = [row[0], row[1], units(row[2]), row[3], row[4], stamp()]
        elif entity == "payment":
            values = [row[0], row[1], units(row[2]), row[3], stamp()]
        elif entity == "customer":
            values = [*row[:5], self._written(row[5]), stamp()]
        if values:
            warehouse.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)

    def _written(self, signed_at: str) -> str:
        if not self._conditions.local_time:
            return signed_at
        return stamp(datetime.strptime(signed_at, "%Y-%m-%d %H:%M:%S.%f") + AHEAD)
