"""The ledger: the system of record of every observation and every decision."""

from auditor.ledger.conflicts import Decision
from auditor.ledger.drills import DrillState
from auditor.ledger.flow_state import FlowState, Sweep, Swept, Watermark
from auditor.ledger.flows import FailedRuns, Work
from auditor.ledger.heartbeats import HeartbeatState
from auditor.ledger.lease import Lease, LeaseHeldError
from auditor.ledger.ledger import Ledger
from auditor.ledger.map_loads import MapLoad, MapStanding
from auditor.ledger.measurements import SLOT
from auditor.ledger.outbox import PendingAlert, Undelivered
from auditor.ledger.process import Process, is_gone, this_process
from auditor.ledger.transaction import LEASE_S, LeaseLostError, Transaction
from auditor.ledger.unverified import LISTED, NO_DOUBT, QUEUE, RECORD, ROWS, Doubt
from auditor.storage.archivable import SETTLED, ArchiveFile, ColumnType
from auditor.storage.ledger_error import LedgerError

__all__ = [
    "LEASE_S",
    "LISTED",
    "NO_DOUBT",
    "QUEUE",
    "RECORD",
    "ROWS",
    "SETTLED",
    "SLOT",
    "ArchiveFile",
    "ColumnType",
    "Decision",
    "Doubt",
    "DrillState",
    "FailedRuns",
    "FlowState",
    "HeartbeatState",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "Ledger",
    "LedgerError",
    "MapLoad",
    "MapStanding",
    "PendingAlert",
    "Process",
    "Sweep",
    "Swept",
    "Transaction",
    "Undelivered",
    "Watermark",
    "Work",
    "is_gone",
    "this_process",
]
