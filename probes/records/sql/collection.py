"""A table as one spec needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from probes.records.sql.column_types import UNKNOWN, Asked, KeyColumn, Native
from probes.records.sql.dialects.dialect import Dialect
from probes.records.sql.stamps import Ordered, Written


@dataclass(slots=True)
class Collection:
    """A table from the catalogue, reduced to the columns of one spec.

    Attributes:
        lookup: how its keys are compared, or their first part.
        keys, lookups: all columns of the key, and how each is compared.
        finders: how records are found by each column of their keys, which may be written in several ways.
        plain: whether it held a value that the driver cannot convert, so it is read plainly.
    """

    table: sa.TableClause
    key: sa.ColumnClause[Any]
    mark: sa.ColumnClause[Any] | None
    natives: dict[str, Native]
    names: tuple[str | None, ...]
    lookup: KeyColumn
    keys: tuple[sa.ColumnClause[Any], ...]
    lookups: tuple[KeyColumn, ...]
    stamps: Ordered | Written | None
    finders: tuple[KeyColumn, ...]
    plain: bool = False
    known: dict[tuple[tuple[str | None, ...], bool], list[Asked]] = field(default_factory=dict)

    @property
    def key_names(self) -> tuple[str, ...]:
        """The columns of the key."""
        return tuple(each.name for each in self.keys)

    def asked(self, dialect: Dialect, names: tuple[str | None, ...], *, plainly: bool) -> list[Asked]:
        """How these columns are read, with a NULL for None."""
        columns = self.known.get((names, plainly))
        if columns is None:
            how = dialect.asked_plainly if plainly else dialect.asked
            columns = self.known[names, plainly] = [
                Asked(sa.null())
                if name is None
                else how(self.table.c[name], self.natives.get(name, UNKNOWN), key=name in self.key_names)
                for name in names
            ]
        return columns
