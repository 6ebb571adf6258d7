"""One transaction of the ledger: everything done with it is committed together or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from auditor.storage.ledger_error import LedgerError

LEASE_S = 15.0
"""A daemon's lease may be taken over after this long without a sign of life: five times the interval between two
signs, so that a busy disk never costs a daemon the lease, and short enough that hardly an audit is missed."""


class LeaseLostError(LedgerError):
    """Another process has taken the lease; nothing was written, and nothing more can be."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Transaction:
    """The transaction that `Ledger.write` yields.

    Attributes:
        connection: the connection it runs on.
        revision: its number; the rows it writes carry it as `rev`. Numbers are drawn as a transaction begins, one
            writer at a time, so that a higher one is never visible before a lower one.
    """

    connection: sa.Connection
    revision: int

    def execute(
        self, statement: sa.Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> sa.CursorResult[*tuple[Any, ...]]:
        """Run one statement, for one row's values or for those of many."""
        return self.connection.execute(statement, values)


class Watch(Protocol):
    """Follows how transactions end, so that messages the ledger cannot record are not lost."""

    def queued(
        self, transaction: Transaction, sender: str, about: tuple[str, str], notice: Mapping[str, Any]
    ) -> None:
        """A transaction has put a message into the outbox; it counts once the transaction is committed."""

    def sent_at(self, sender: str, about: tuple[str, str]) -> datetime | None:
        """When a message went out that the ledger could not record, None if there is none."""

    def failed(self, transaction: Transaction | None, error: LedgerError) -> None:
        """A transaction failed or could not begin; None if it had no number."""

    def written(self, transaction: Transaction | None) -> None:
        """A transaction was written; None if it had no number."""
