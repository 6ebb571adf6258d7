"""Writing out SQL for people to review: the statements of repair proposals. Nothing here is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa

from probes.records.column_types import UNKNOWN, Native, binary_key
from probes.records.literals import MYSQL_BYTES, NoLiteralError, compared_as_text, literal
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
    natives: Mapping[str, Native] | None = None,
) -> str:
    """One statement in the database's own dialect, with its values written out.

    Args:
        collection: table, or `schema.table`.
        key: the key's column and value.
        changes: by column, the value to write.
        guard: by column, the value that must still be there; otherwise the statement changes nothing.
        natives: by column, its type in the database, where it is known.

    Raises:
        NoLiteralError: a value has no exact literal there.
    """
    dialect_class: Any = sa.make_url(settings.url.get_secret_value()).get_dialect()
    # Another paramstyle would double every percent sign in a text.
    dialect: sa.Dialect = dialect_class(paramstyle="named")
    schema, name = split_name(collection)
    columns: list[sa.ColumnClause[Any]] = [sa.column(each) for each in {**changes, key[0]: None}]
    table = sa.table(name, *columns, schema=schema or None)

    def held(column: str, value: Any) -> sa.ColumnElement[Any]:
        try:
            return sa.literal_column(literal(dialect.name, value, (natives or {}).get(column, UNKNOWN)))
        except NoLiteralError as error:
            raise NoLiteralError(f"{column}: {error}") from None

    def same(column: str, value: Any) -> sa.ColumnElement[bool]:
        if compared_as_text(dialect.name, (natives or {}).get(column, UNKNOWN)):
            return sa.cast(sa.column(column), sa.Text) == held(column, value)
        return sa.column(column) == held(column, value)

    if (natives or {}).get(key[0], UNKNOWN).name in MYSQL_BYTES | {"bytea"}:
        key = key[0], binary_key(key[1])
    here = [same(*key)]
    here += [sa.column(each).is_(None) if value is None else same(each, value) for each, value in guard.items()]
    values: dict[Any, Any] = {sa.column(each): held(each, value) for each, value in changes.items()}
    made: sa.Update | sa.Delete | sa.Insert
    if action == "update":
        made = sa.update(table).values(values).where(*here)
    elif action == "delete":
        made = sa.delete(table).where(*here)
    else:
        made = sa.insert(table).values({**values, sa.column(key[0]): held(*key)})
    return str(made.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
