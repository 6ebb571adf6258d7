"""How copies differ, why, and the families of causes: names that views and pages need without the judging code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from checks.tables import complete


class Kind(StrEnum):
    """How the copies differ."""

    VALUE = "value"
    MISSING = "missing"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    INVALID = "invalid"


KINDS = complete(
    {
        Kind.VALUE: "values differ",
        Kind.MISSING: "missing in the copy",
        Kind.ORPHAN: "exists only in the copy",
        Kind.DUPLICATE: "exists more than once",
        Kind.INVALID: "breaks a rule",
    }
)
"""How the copies differ, in words."""


class Cause(StrEnum):
    """Why they differ."""

    IN_FLIGHT = "in_flight"
    LATE = "late"
    LOST = "lost"
    FOREIGN_WRITE = "foreign_write"
    WRITE_CONFLICT = "write_conflict"
    LOST_UPDATE = "lost_update"
    TRANSFORMATION = "transformation"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    REGRESSION = "regression"
    INVALID = "invalid"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """How a cause is described.

    Attributes:
        words: what happened to the record.
    """

    family: Literal["timing", "ownership", "validity", "unexplained"]
    words: str


MEANINGS = complete(
    {
        Cause.IN_FLIGHT: Meaning(family="timing", words="on its way, within its window"),
        Cause.LATE: Meaning(family="timing", words="did not arrive within its window"),
        Cause.LOST: Meaning(family="timing", words="never arrived"),
        Cause.FOREIGN_WRITE: Meaning(family="ownership", words="changed by a system that does not own it"),
        Cause.WRITE_CONFLICT: Meaning(family="ownership", words="changed on both sides"),
        Cause.LOST_UPDATE: Meaning(family="ownership", words="an update that was permitted is gone"),
        Cause.TRANSFORMATION: Meaning(family="ownership", words="the value was altered in transit"),
        Cause.ORPHAN: Meaning(family="ownership", words="exists only in the copy"),
        Cause.DUPLICATE: Meaning(family="ownership", words="exists more than once"),
        Cause.REGRESSION: Meaning(family="ownership", words="an older version came back"),
        Cause.INVALID: Meaning(family="validity", words="breaks its own validity rules"),
        Cause.UNEXPLAINED: Meaning(
            family="unexplained", words="has never matched: check the mapping or the backfill"
        ),
    }
)
"""A transformation that changes what a value means is an ownership conflict: it wrote a value that no owner ever
held."""

FAMILY = {cause: meaning.family for cause, meaning in MEANINGS.items()}

OF_TIMING = frozenset(cause for cause, family in FAMILY.items() if family == "timing")
