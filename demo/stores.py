"""Where the bus writes and where its jobs wait; here in SQLite files, in `demo.engines` in servers of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

Row = Sequence[Any]
"""A record's values; the first is its key."""


class StoreError(Exception):
    """A server of the company cannot be used; the message names it."""


class Job(NamedTuple):
    """A record on its way.

    Attributes:
        place: where the queue has it.
        payload: the row, as JSON.
    """

    place: Any
    target: str
    entity: str
    key: str
    payload: str


class Queue(Protocol):
    """The jobs that wait, and the dead letters of those that their target has refused."""

    def put(self, jobs: Sequence[tuple[str, str, str, str]]) -> None:
        """Let jobs wait; each has a target, an entity, a key and a payload."""

    def waiting(self, limit: int) -> list[Job]:
        """The oldest jobs, in the order in which they were put."""

    def settle(self, done: Sequence[Job], refused: Sequence[tuple[Job, str]], tries: int) -> None:
        """Remove jobs; those that were refused become dead letters with an error."""

    def discard(self) -> None:
        """Discard all dead letters."""


class Writer(Protocol):
    """One transaction of the bus in a copy."""

    def put(self, entity: str, row: Row) -> None:
        """Write a record in place of the one that has its key; a mail is sent again."""

    def holds(self, entity: str, key: str) -> bool:
        """Whether there is a record with this key."""

    def delete(self, entity: str, key: str) -> None:
        """Delete the record with this key."""


class Place(NamedTuple):
    """The table of an entity.

    Attributes:
        columns: those that are written, as SQL lists them; "" for all.
        replaces: a record takes the place of the one that has its key.
    """

    table: str
    key: str
    columns: str = ""
    replaces: bool = True


PLACES = {
    "customer": Place("customers", "id"),
    "welcome": Place("mails", "customer_id", " (customer_id, template, updated_at)", replaces=False),
}

LOADED = {
    "customer": Place("dim_customer", "customer_id"),
    "invoice": Place("fact_invoice", "invoice_id"),
    "payment": Place("fact_payment", "payment_id"),
}
"""The tables of the warehouse."""


class Tables:
    """A copy in SQL.

    Args:
        connection: with `execute`, in a transaction that the caller ends.
        places: by entity.
        mark: what stands for a parameter in its SQL.
    """

    def __init__(self, connection: Any, places: Mapping[str, Place], mark: str = "?") -> None:
        self._connection = connection
        self._places = places
        self._mark = mark

    def put(self, entity: str, row: Row) -> None:
        place = self._places[entity]
        if place.replaces:
            self.delete(entity, row[0])
        marks = ", ".join([self._mark] * len(row))
        self._connection.execute(f"INSERT INTO {place.table}{place.columns} VALUES ({marks})", tuple(row))

    def holds(self, entity: str, key: str) -> bool:
        place = self._places[entity]
        asked = f"SELECT count(*) FROM {place.table} WHERE {place.key} = {self._mark}"
        return bool(self._connection.execute(asked, (key,)).fetchone()[0])

    def delete(self, entity: str, key: str) -> None:
        place = self._places[entity]
        self._connection.execute(f"DELETE FROM {place.table} WHERE {place.key} = {self._mark}", (key,))


class JobTable:
    """The queue in a database of its own.

    Args:
        open_: begins a transaction on it.
    """

    def __init__(self, open_: Callable[[], AbstractContextManager[Any]]) -> None:
        self._open = open_

    def put(self, jobs: Sequence[tuple[str, str, str, str]]) -> None:
        queued = [(*job, stamp()) for job in jobs]
        with self._open() as bus:
            bus.executemany(
                "INSERT INTO jobs (target, entity, key, payload, queued_at) VALUES (?, ?, ?, ?, ?)", queued
            )

    def waiting(self, limit: int) -> list[Job]:
        asked = "SELECT id, target, entity, key, payload FROM jobs ORDER BY id LIMIT ?"
        with self._open() as bus:
            return [Job(*row) for row in bus.execute(asked, (limit,)).fetchall()]

    def settle(self, done: Sequence[Job], refused: Sequence[tuple[Job, str]], tries: int) -> None:
        letters = [(*job, error, tries, stamp()) for job, error in refused]
        with self._open() as bus:
            bus.executemany("INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?)", letters)
            bus.executemany("DELETE FROM jobs WHERE id = ?", [(job.place,) for job in done])

    def discard(self) -> None:
        with self._open() as bus:
            bus.execute("DELETE FROM dead_letters")


def stamp(at: datetime | None = None) -> str:
    """An instant as the company's systems write it."""
    return (at or datetime.now(UTC)).strftime(STAMP)


STAMP = "%Y-%m-%d %H:%M:%S.%f"
