"""The ledger: the system of record of every observation and every decision."""

from auditor.ledger.following import FlowState, Following
from auditor.ledger.measuring import Measuring
from auditor.ledger.outbox import Incident, Outbox, PendingAlert
from auditor.ledger.shelves import SETTLED, ArchiveFile, ColumnType, Shelves
from auditor.ledger.store import LedgerError, Transaction

__all__ = [
    "SETTLED",
    "ArchiveFile",
    "ColumnType",
    "FlowState",
    "Incident",
    "Ledger",
    "LedgerError",
    "PendingAlert",
    "Transaction",
]


class Ledger(Following, Measuring, Outbox, Shelves):
    """Everything that can be asked of the ledger and told it; see the modules for each part."""
