"""Saved queries: what people may save, under which names, and how much of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from checks.escalation import RefusedError
from probes.wording import did_you_mean

NAME_LIMIT = 80
"""The longest name of a saved query, in characters."""

SQL_LIMIT = 20_000
"""The longest statement that is saved, in characters."""

DESCRIPTION_LIMIT = 500
"""The longest description, in characters."""

MOST = 200
"""The most saved queries of one ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedQuery:
    """A query that people share by its name.

    Attributes:
        query_id: its number, which stays when it is renamed.
        who, known_by: who saved it, and how the auditor identified the person.
        changed_by, changed_known_by: the same of the last change; None if it was never changed.
    """

    query_id: int
    name: str
    description: str
    sql: str
    who: str
    known_by: str
    made_at: datetime
    changed_at: datetime | None = None
    changed_by: str | None = None
    changed_known_by: str | None = None

    @property
    def last_text(self) -> str:
        """Who saved or changed it last, and when."""
        if self.changed_at is None:
            return f"saved by {self.who} on {self.made_at:%Y-%m-%d %H:%M} UTC"
        return f"changed by {self.changed_by} on {self.changed_at:%Y-%m-%d %H:%M} UTC"


def checked_name(name: str, others: Sequence[SavedQuery]) -> str:
    """A name with single spaces.

    Args:
        others: the saved queries whose names are taken; case does not tell names apart.

    Raises:
        RefusedError: it is missing, too long, holds invisible characters, or is taken.
    """
    plain = " ".join(name.split())
    if not plain:
        raise RefusedError("the name of the query is missing")
    if len(plain) > NAME_LIMIT:
        raise RefusedError(f"the name has {len(plain):,} characters; at most {NAME_LIMIT} are accepted")
    if not plain.isprintable():
        raise RefusedError("the name holds characters that cannot be seen; type it anew")
    taken = named(plain, others)
    if taken is not None:
        raise RefusedError(
            f"there is a saved query {taken.name!r} already, {taken.last_text}; choose another name, or change that "
            "one"
        )
    return plain


def checked_sql(sql: str) -> str:
    """A statement without space around it.

    Raises:
        RefusedError: there is none, or it is too long.
    """
    plain = sql.strip()
    if not plain:
        raise RefusedError("there is no SQL to save")
    if len(plain) > SQL_LIMIT:
        raise RefusedError(f"the SQL has {len(plain):,} characters; at most {SQL_LIMIT:,} can be saved")
    return plain


def checked_description(description: str) -> str:
    """A description in one line.

    Raises:
        RefusedError: it is too long.
    """
    plain = " ".join(description.split())
    if len(plain) > DESCRIPTION_LIMIT:
        raise RefusedError(f"the description has {len(plain):,} characters; at most {DESCRIPTION_LIMIT} are accepted")
    return plain


def check_room(saved: Sequence[SavedQuery]) -> None:
    """Refuse one more than `MOST`. Raises RefusedError."""
    if len(saved) >= MOST:
        raise RefusedError(f"there are {len(saved)} saved queries, and no more are kept; delete some first")


def named(name: str, saved: Sequence[SavedQuery]) -> SavedQuery | None:
    """The query with this name, whatever its case; None if there is none."""
    wanted = " ".join(name.split()).casefold()
    return next((each for each in saved if each.name.casefold() == wanted), None)


def existing(name: str, saved: Sequence[SavedQuery]) -> SavedQuery:
    """The query with this name.

    Raises:
        RefusedError: there is none; the text names the nearest.
    """
    found = named(name, saved)
    if found is None:
        hint = did_you_mean(name, [each.name for each in saved])
        raise RefusedError(f"there is no saved query {name[:NAME_LIMIT]!r}{hint}")
    return found
