"""The ledger's tables.

Every table that a view shows carries `rev`, the number of the transaction that last wrote the row. Numbers
are drawn inside the transaction, one writer at a time, so a reader that remembers the highest it saw never
misses a row. Instants are microseconds since 1970 UTC.
"""

from auditor.ledger.tables.columns import Identity, Instant, Text, metadata
from auditor.ledger.tables.conflicts import conflicts, decisions
from auditor.ledger.tables.flows import flow_state, probe_runs
from auditor.ledger.tables.handling import expected_records, incident_events, silences
from auditor.ledger.tables.incidents import alert_places, alerts, breaches, incidents
from auditor.ledger.tables.installation import (
    archive_files,
    drill,
    heartbeat,
    installation,
    lease,
    listening,
    map_loads,
    revision,
)
from auditor.ledger.tables.measurements import (
    bursts,
    clock_steps,
    lag_cells,
    noise,
    samples,
    systems,
    window_counts,
)
from auditor.ledger.tables.queues import backlogs, dead_letters
from auditor.ledger.tables.rechecks import rechecks
from auditor.ledger.tables.records import baselines, changes, divergences, identities, unverified
from auditor.ledger.tables.saved_queries import saved_queries
from auditor.ledger.tables.spending import sent_calls

__all__ = [
    "Identity",
    "Instant",
    "Text",
    "alert_places",
    "alerts",
    "archive_files",
    "backlogs",
    "baselines",
    "breaches",
    "bursts",
    "changes",
    "clock_steps",
    "conflicts",
    "dead_letters",
    "decisions",
    "divergences",
    "drill",
    "expected_records",
    "flow_state",
    "heartbeat",
    "identities",
    "incident_events",
    "incidents",
    "installation",
    "lag_cells",
    "lease",
    "listening",
    "map_loads",
    "metadata",
    "noise",
    "probe_runs",
    "rechecks",
    "revision",
    "samples",
    "saved_queries",
    "sent_calls",
    "silences",
    "systems",
    "unverified",
    "window_counts",
]
