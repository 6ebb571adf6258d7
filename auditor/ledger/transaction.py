"""One transaction of the ledger: everything done with it is committed together or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from auditor.storage.ledger_error import LedgerError

LEASE_S = 15.0
"""After so long without a sign of life a daemon's lease may be taken over: five times what lies between two signs, so
that a busy disk costs nobody the lease, and short enough that hardly an audit is missed."""


class LeaseLostError(LedgerError):
    """Another process has taken the lease; nothing was written, and nothing can be any more."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Transaction:
    """What `Ledger.write` yields.

    Attributes:
        connection: on which it runs.
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
    """Follows how transactions end, so that what the ledger cannot record is not lost."""

    def queued(
        self, transaction: Transaction, sender: str, about: tuple[str, str], notice: Mapping[str, Any]
    ) -> None:
        """A transaction has put a message into the outbox, which is there when the transaction has ended well."""

    def sent_at(self, sender: str, about: tuple[str, str]) -> datetime | None:
        """When a message went out that the ledger could not record, None where none did."""

    def failed(self, transaction: Transaction | None, error: LedgerError) -> None:
        """A transaction could not be written, or not even begun; None where it had drawn no number."""

    def written(self, transaction: Transaction | None) -> None:
        """A transaction was written; None where it had drawn no number."""
