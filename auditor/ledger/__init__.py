"""The ledger: the system of record of every observation and every decision."""

from auditor.ledger.conflicts import Conflicts, Decision
from auditor.ledger.following import FlowState, Following
from auditor.ledger.measuring import Measuring
from auditor.ledger.outbox import Incident, Outbox, PendingAlert
from auditor.ledger.shelves import SETTLED, ArchiveFile, ColumnType, Shelves
from auditor.ledger.store import LedgerError, Transaction

__all__ = [
    "SETTLED",
    "ArchiveFile",
    "ColumnType",
    "Decision",
    "FlowState",
    "Incident",
    "Ledger",
    "LedgerError",
    "PendingAlert",
    "Transaction",
]


class Ledger(Conflicts, Following, Measuring, Outbox, Shelves):
    """Everything that can be asked of the ledger and told it; see the modules for each part."""
