"""Which map the daemon loaded when, what that changed, which ones it refused, and who asked it to look again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database

KEPT = 100
"""Loads that are kept, the latest ones."""

START, SIGNAL, COMMAND = "start", "signal", "command"
"""Why the map was read."""

LOADED, UNCHANGED, REFUSED = "loaded", "unchanged", "refused"
"""What became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLoad:
    """One time that the daemon read its map, or was asked to.

    Attributes:
        number: increasing.
        at: when the daemon had done so; None while it has not.
        cause: start, signal or command.
        outcome: loaded, unchanged or refused; None while the daemon has not read it.
        location: the file or folder that it read.
        digest: identifies the map with its secrets, keyed like a fingerprint.
        changes: what changed from the map before, each as path, change, before, after; no secrets.
        mistakes: why it was refused, each as file, line, column, path, message.
        document: the effective map without secrets; only of the one in force.
    """

    number: int
    at: datetime | None
    cause: str
    outcome: str | None
    location: str
    digest: str
    changes: Sequence[Mapping[str, Any]] = ()
    mistakes: Sequence[Mapping[str, Any]] = ()
    document: Mapping[str, Any] | None = field(default=None, repr=False)

    def as_row(self) -> dict[str, Any]:
        """For programs."""
        return {
            "at": self.at,
            "cause": self.cause,
            "outcome": self.outcome,
            "location": self.location,
            "digest": self.digest,
            "changes": [dict(each) for each in self.changes],
            "mistakes": [dict(each) for each in self.mistakes],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStanding:
    """Which map is in force, and whether a newer one was refused.

    Attributes:
        in_force: None before a daemon has recorded one.
        refused: the latest attempt, if it was refused.
        refused_since_at: when the first one was refused after the last that was not.
    """

    in_force: MapLoad | None
    refused: MapLoad | None
    refused_since_at: datetime | None

    def as_document(self) -> dict[str, Any]:
        """For programs."""
        in_force = self.in_force
        return {
            "loaded_at": in_force and in_force.at,
            "digest": in_force and in_force.digest,
            "refused_at": self.refused and self.refused.at,
            "refused_since_at": self.refused_since_at,
            "mistakes": [dict(each) for each in self.refused.mistakes] if self.refused is not None else [],
        }

    def __str__(self) -> str:
        loaded = "no map recorded yet"
        if self.in_force is not None and self.in_force.at is not None:
            loaded = f"map loaded at {_text(self.in_force.at)}"
        if self.refused is None or self.refused.at is None:
            return loaded
        mistakes = len(self.refused.mistakes)
        return (
            f"a newer map was refused at {_text(self.refused.at)} ({mistakes} mistake{'s' * (mistakes != 1)}); "
            f"in force: {loaded}"
        )


class MapLoads:
    """The loads of the map, and requests for one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, at: datetime) -> int:
        """Ask whoever holds the lease to read the map again; returns the number of the request."""
        with self._database.unnumbered() as connection:
            made = connection.execute(sa.insert(t.map_loads).values(asked_at=at, cause=COMMAND))
            return int(made.inserted_primary_key[0])  # type: ignore[index]

    def withdraw(self, number: int) -> None:
        """Take a request back that nobody has answered."""
        with self._database.unnumbered() as connection:
            column = t.map_loads.c
            connection.execute(sa.delete(t.map_loads).where(column.id == number, column.outcome.is_(None)))

    def asked(self) -> list[int]:
        """The requests that nobody has answered yet."""
        with self._database.read() as connection:
            column = t.map_loads.c
            query = sa.select(column.id).where(column.outcome.is_(None)).order_by(column.id)
            return [int(each) for each in connection.execute(query).scalars()]

    def note(
        self,
        *,
        at: datetime,
        cause: str,
        outcome: str,
        location: str,
        digest: str = "",
        changes: Sequence[Mapping[str, Any]] = (),
        mistakes: Sequence[Mapping[str, Any]] = (),
        document: Mapping[str, Any] | None = None,
        answers: Sequence[int] = (),
    ) -> None:
        """Note how the map was read.

        Args:
            answers: the requests that this answers; without any it is a row of its own.
        """
        values = {
            "at": at,
            "outcome": outcome,
            "location": location,
            "digest": digest,
            "changes": json.dumps([*changes]),
            "mistakes": json.dumps([*mistakes]),
        }
        column = t.map_loads.c
        with self._database.unnumbered() as connection:
            if outcome == LOADED:
                connection.execute(sa.update(t.map_loads).where(column.document.is_not(None)).values(document=None))
                values["document"] = json.dumps(document)
            if answers:
                several = values | {"document": None}
                connection.execute(sa.update(t.map_loads).where(column.id.in_(answers[:-1])).values(several))
                connection.execute(sa.update(t.map_loads).where(column.id == answers[-1]).values(values))
            else:
                connection.execute(sa.insert(t.map_loads).values(cause=cause, **values))
            oldest = sa.select(column.id).order_by(column.id.desc()).offset(KEPT).limit(1).scalar_subquery()
            connection.execute(sa.delete(t.map_loads).where(column.id <= oldest, column.document.is_(None)))

    def load(self, number: int) -> MapLoad | None:
        """One of them; None if there is none of this number."""
        found = self._rows(t.map_loads.c.id == number)
        return found[0] if found else None

    def standing(self) -> MapStanding:
        """Which map is in force."""
        column = t.map_loads.c
        in_force = self._rows(column.document.is_not(None), limit=1)
        latest = self._rows(column.outcome.is_not(None), limit=1)
        refused = latest[0] if latest and latest[0].outcome == REFUSED else None
        since_at = None
        if refused is not None:
            accepted = sa.select(sa.func.max(column.id)).where(column.outcome.in_([LOADED, UNCHANGED]))
            with self._database.read() as connection:
                last = connection.execute(accepted).scalar() or 0
                first = sa.select(sa.func.min(column.at)).where(column.id > last, column.outcome == REFUSED)
                since_at = connection.execute(first).scalar()
        return MapStanding(in_force=in_force[0] if in_force else None, refused=refused, refused_since_at=since_at)

    def listed(self, limit: int) -> list[MapLoad]:
        """The latest ones, latest first; requests that nobody has answered are left out."""
        return self._rows(t.map_loads.c.outcome.is_not(None), limit=limit)

    def _rows(self, *conditions: Any, limit: int | None = None) -> list[MapLoad]:
        query = sa.select(t.map_loads).where(*conditions).order_by(t.map_loads.c.id.desc())
        with self._database.read() as connection:
            rows = connection.execute(query if limit is None else query.limit(limit)).all()
        return [
            MapLoad(
                number=int(row.id),
                at=row.at,
                cause=row.cause,
                outcome=row.outcome,
                location=row.location or "",
                digest=row.digest or "",
                changes=json.loads(row.changes or "[]"),
                mistakes=json.loads(row.mistakes or "[]"),
                document=json.loads(row.document) if row.document else None,
            )
            for row in rows
        ]


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
