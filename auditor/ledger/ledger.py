"""The ledger as a whole: one database, and a store for each subject."""

from __future__ import annotations

from contextlib import AbstractContextManager

from auditor.ledger.breaches import Breaches
from auditor.ledger.bursts import Bursts
from auditor.ledger.conflicts import Conflicts
from auditor.ledger.database import Database
from auditor.ledger.drills import Drills
from auditor.ledger.expected_records import ExpectedRecords
from auditor.ledger.exports import Exports
from auditor.ledger.findings import Findings
from auditor.ledger.flows import Flows
from auditor.ledger.heartbeats import Heartbeats
from auditor.ledger.identities import Identities
from auditor.ledger.incident_events import IncidentEvents
from auditor.ledger.incidents import Incidents
from auditor.ledger.installation import Installation
from auditor.ledger.lease import Leases
from auditor.ledger.listening import Listening
from auditor.ledger.map_loads import MapLoads
from auditor.ledger.measurements import Measurements
from auditor.ledger.outbox import Outbox
from auditor.ledger.queues import Queues
from auditor.ledger.rechecks import Rechecks
from auditor.ledger.records import Records
from auditor.ledger.saved_queries import SavedQueries
from auditor.ledger.silences import Silences
from auditor.ledger.spending import Spending
from auditor.ledger.transaction import Transaction
from auditor.ledger.unverified import UnverifiedList


class Ledger:
    """The ledger behind a URL; safe to share between threads.

    Writes that belong together share the `Transaction` of one `write`; single queries open their own.

    Args:
        url: `sqlite:///FILE` or `postgresql://...`.

    Attributes:
        database: its connections, transactions and migrations.
    """

    def __init__(self, url: str) -> None:
        database = self.database = Database(url)
        self.breaches = Breaches(database)
        self.bursts = Bursts(database)
        self.conflicts = Conflicts(database)
        self.drills = Drills(database)
        self.expected_records = ExpectedRecords(database)
        self.exports = Exports(database)
        self.findings = Findings(database)
        self.flows = Flows(database)
        self.heartbeats = Heartbeats(database)
        self.identities = Identities(database)
        self.incident_events = IncidentEvents(database)
        self.incidents = Incidents(database)
        self.installation = Installation(database)
        self.lease = Leases(database)
        self.listening = Listening(database)
        self.map_loads = MapLoads(database)
        self.measurements = Measurements(database)
        self.outbox = Outbox(database)
        self.queues = Queues(database)
        self.rechecks = Rechecks(database)
        self.records = Records(database)
        self.saved_queries = SavedQueries(database)
        self.silences = Silences(database)
        self.spending = Spending(database)
        self.unverified = UnverifiedList(database)

    @property
    def name(self) -> str:
        """The ledger's display name: its file, or its address without a login."""
        return self.database.name

    def made(self) -> bool:
        """Whether an auditor has created the ledger; checks without creating anything."""
        return self.database.made()

    def migrate(self) -> None:
        """Bring the schema to this version's; safe to run again and from several processes."""
        self.database.migrate()

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that writes; it is committed completely or not at all."""
        return self.database.write()

    def close(self) -> None:
        """Release every connection."""
        self.database.close()
