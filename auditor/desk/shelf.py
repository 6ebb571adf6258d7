"""The shelf of saved queries: what people do with them, each act one transaction that carries the person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from auditor.ledger import Ledger
from checks.escalation import RefusedError
from checks.handling import check_name
from checks.saved_queries import SavedQuery, check_room, checked_description, checked_name, checked_sql


class Shelf:
    """Acts of one person on the saved queries, which everyone shares.

    Every act raises RefusedError if it is not possible; the text says why.

    Args:
        who: the person; a name of at most 100 characters.
        known_by: how the auditor identified the person.
        check: called with SQL before it is saved; what it raises is raised, and nothing is saved.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        who: str,
        known_by: str,
        check: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        check_name(who, "the name of who does this")
        self._ledger = ledger
        self._who = who
        self._known_by = known_by
        self._check = check
        self._now = now

    def save(self, name: str, sql: str, description: str = "") -> int:
        """Save a query under a name of its own; returns its number."""
        sql, description = checked_sql(sql), checked_description(description)
        self._check(sql)
        with self._ledger.write() as transaction:
            present = self._ledger.saved_queries.present(transaction)
            plain = checked_name(name, present)
            check_room(present)
            by = {"who": self._who, "known_by": self._known_by}
            add = self._ledger.saved_queries.add
            return add(transaction, name=plain, description=description, sql=sql, at=self._now(), **by)

    def change(
        self,
        query_id: int,
        *,
        name: str | None = None,
        sql: str | None = None,
        description: str | None = None,
        seen_at: datetime | None = None,
    ) -> None:
        """Change a query's name, SQL or description; None leaves each as it is.

        Args:
            seen_at: when the version that the person saw was saved; None to change any version.
        """
        values: dict[str, str] = {}
        if sql is not None:
            values["sql"] = checked_sql(sql)
        if description is not None:
            values["description"] = checked_description(description)
        if "sql" in values and values["sql"] not in self._saved(query_id):  # an older one may be renamed as it is
            self._check(values["sql"])
        with self._ledger.write() as transaction:
            present = self._ledger.saved_queries.present(transaction)
            known = _one(present, query_id, seen_at)
            if name is not None:
                values["name"] = checked_name(name, [each for each in present if each is not known])
            by = {"who": self._who, "known_by": self._known_by}
            self._ledger.saved_queries.change(transaction, query_id, at=self._now(), **by, **values)

    def delete(self, query_id: int, *, seen_at: datetime | None = None) -> None:
        """Delete a query: it is no longer listed, and its name is free.

        Args:
            seen_at: as for `change`.
        """
        with self._ledger.write() as transaction:
            _one(self._ledger.saved_queries.present(transaction), query_id, seen_at)
            by = {"who": self._who, "known_by": self._known_by}
            self._ledger.saved_queries.delete(transaction, query_id, at=self._now(), **by)

    def _saved(self, query_id: int) -> list[str]:
        """The SQL that is saved under a number, if any is."""
        return [each.sql for each in self._ledger.saved_queries.listed() if each.query_id == query_id]


def _one(present: Sequence[SavedQuery], query_id: int, seen_at: datetime | None) -> SavedQuery:
    """The query with this number, in the version that the person saw."""
    known = next((each for each in present if each.query_id == query_id), None)
    if known is None:
        raise RefusedError("this saved query was deleted meanwhile")
    if seen_at is not None and seen_at != (known.changed_at or known.made_at):
        raise RefusedError(f"this saved query was {known.last_text}, after you opened it; open it again first")
    return known
