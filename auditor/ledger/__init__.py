"""The ledger: the system of record of every observation and every decision."""

from auditor.ledger.conflicts import Conflicts, Decision
from auditor.ledger.database import LEASE_S, LeaseLostError, Transaction
from auditor.ledger.exports import FailedRuns, Shelves
from auditor.ledger.flows import FlowState, Following
from auditor.ledger.incidents import Incident, Outbox, PendingAlert, Undelivered
from auditor.ledger.lease import Lease, LeaseHeldError, Leasing, Process, is_gone, this_process
from auditor.ledger.measurements import Measuring
from auditor.ledger.unverified import LISTED, NO_DOUBT, QUEUE, ROWS, Doubt, Unverified
from auditor.storage.archivable import SETTLED, ArchiveFile, ColumnType
from auditor.storage.ledger_error import LedgerError

__all__ = [
    "LEASE_S",
    "LISTED",
    "NO_DOUBT",
    "QUEUE",
    "ROWS",
    "SETTLED",
    "ArchiveFile",
    "ColumnType",
    "Decision",
    "Doubt",
    "FailedRuns",
    "FlowState",
    "Incident",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "Ledger",
    "LedgerError",
    "PendingAlert",
    "Process",
    "Transaction",
    "Undelivered",
    "is_gone",
    "this_process",
]


class Ledger(Conflicts, Following, Leasing, Measuring, Outbox, Shelves, Unverified):
    """Everything that can be asked of the ledger and told it; see the modules for each part."""
