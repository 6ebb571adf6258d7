"""How copies differ, why, and the families of causes: names that views and pages need without the judging."""

from __future__ import annotations

from enum import StrEnum

from checks.tables import complete


class Kind(StrEnum):
    """How the copies differ."""

    VALUE = "value"
    MISSING = "missing"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    INVALID = "invalid"


class Cause(StrEnum):
    """Why they differ."""

    IN_FLIGHT = "in_flight"
    LATE = "late"
    LOST = "lost"
    FOREIGN_WRITE = "foreign_write"
    CONFLICT = "conflict"
    LOST_UPDATE = "lost_update"
    TRANSFORMATION = "transformation"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    REGRESSION = "regression"
    INVALID = "invalid"
    UNEXPLAINED = "unexplained"


FAMILY = complete(
    {
        Cause.IN_FLIGHT: "timing",
        Cause.LATE: "timing",
        Cause.LOST: "timing",
        Cause.FOREIGN_WRITE: "ownership",
        Cause.CONFLICT: "ownership",
        Cause.LOST_UPDATE: "ownership",
        Cause.TRANSFORMATION: "ownership",
        Cause.ORPHAN: "ownership",
        Cause.DUPLICATE: "ownership",
        Cause.REGRESSION: "ownership",
        Cause.INVALID: "validity",
        Cause.UNEXPLAINED: "unexplained",
    }
)
"""A transformation that changes what a value means is a matter of ownership: it wrote what no owner ever held."""
