"""What an incident of records is about, by the cause of what differs."""

from __future__ import annotations

from checks.cause import Cause
from checks.tables import complete

BREACH_OF = complete(
    {
        Cause.LATE: "not_arriving",
        Cause.LOST: "not_arriving",
        Cause.FOREIGN_WRITE: "foreign_write",
        Cause.CONFLICT: "conflict",
        Cause.ORPHAN: "orphan",
        Cause.DUPLICATE: "duplicate",
        Cause.LOST_UPDATE: "lost_update",
        Cause.TRANSFORMATION: "transformation",
        Cause.REGRESSION: "regression",
        Cause.INVALID: "invalid",
        Cause.UNEXPLAINED: "unexplained",
    },
    but={Cause.IN_FLIGHT},
)
"""What an incident is about; late and lost records of one flow share a cause to look for."""
