"""Writing out SQL for people to review: the statements of repair proposals. Nothing here is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from probes.records.names import split_name
from probes.records.sql import SqlSettings

Action = Literal["update", "insert", "delete"]


def statement(
    settings: SqlSettings,
    action: Action,
    collection: str,
    key: tuple[str, Any],
    changes: Mapping[str, Any],
    guard: Mapping[str, Any],
) -> str:
    """One statement in the database's own dialect, with its values written out.

    Args:
        collection: table, or `schema.table`.
        key: the key's column and value.
        changes: by column, the value to write.
        guard: by column, the value that must still be there; otherwise the statement changes nothing.
    """
    dialect_class: Any = sa.make_url(settings.url.get_secret_value()).get_dialect()
    # Another paramstyle would double every percent sign in a text.
    dialect: sa.Dialect = dialect_class(paramstyle="named")
    schema, name = split_name(collection)
    columns: list[sa.ColumnClause[Any]] = [sa.column(each) for each in {**changes, key[0]: None}]
    table = sa.table(name, *columns, schema=schema or None)
    here = [sa.column(key[0]) == _literal(key[1])]
    here += [
        sa.column(each).is_(None) if value is None else sa.column(each) == _literal(value)
        for each, value in guard.items()
    ]
    values: dict[Any, Any] = {sa.column(each): _literal(value) for each, value in changes.items()}
    made: sa.Update | sa.Delete | sa.Insert
    if action == "update":
        made = sa.update(table).values(values).where(*here)
    elif action == "delete":
        made = sa.delete(table).where(*here)
    else:
        made = sa.insert(table).values({**values, sa.column(key[0]): _literal(key[1])})
    return str(made.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _literal(value: Any) -> sa.ColumnElement[Any]:
    """A value that every dialect can write out; what is no number is text."""
    if value is None:
        return sa.null()
    if isinstance(value, bool):
        return sa.true() if value else sa.false()
    if isinstance(value, int | float | Decimal):
        return sa.literal(value)
    return sa.literal(str(value), sa.String)
