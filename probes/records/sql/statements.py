"""Writing out SQL for people to review: the statements of repair proposals. Nothing here is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa

from probes.records.sql.column_types import MYSQL_TEXT, UNKNOWN, Native, binary_key
from probes.records.sql.database_url import read_url
from probes.records.sql.identifiers import identifier
from probes.records.sql.literals import MYSQL_BYTES, NoLiteralError, compared_as_text, literal
from probes.records.sql.names import split_name
from probes.records.sql.settings import SqlSettings

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
    """One statement in the database's own dialect, with its values as literals.

    Args:
        collection: table, or `schema.table`.
        key: the key's column, and its value as the column spells it.
        changes: by column, the value to write.
        guard: by column, the value that must still be there; otherwise the statement changes nothing.
        natives: by column, its type in the database, if known.

    Raises:
        NoLiteralError: a value has no exact literal there, or a name cannot stand in a statement.
    """
    dialect_class: Any = read_url(settings.url.get_secret_value()).url.get_dialect()
    # Another paramstyle would double every percent sign in a name.
    dialect: sa.Dialect = dialect_class(paramstyle="named")
    types = natives or {}
    schema, name = split_name(collection)
    columns = list(dict.fromkeys([key[0], *changes, *guard]))
    parts = [name] if schema is None else [schema, name]
    table = ".".join(identifier(dialect, part) for part in parts)
    written = {column: identifier(dialect, column) for column in columns}

    def held(column: str, value: Any) -> str:
        try:
            return literal(dialect.name, value, types.get(column, UNKNOWN))
        except NoLiteralError as error:
            raise NoLiteralError(f"{column}: {error}") from None

    def same(column: str, value: Any) -> str:
        if value is None:
            return f"{written[column]} IS NULL"
        if compared_as_text(dialect.name, types.get(column, UNKNOWN)):
            return f"CAST({written[column]} AS TEXT) = {held(column, value)}"
        equal = f"{written[column]} = {held(column, value)}"
        if dialect.name in {"mariadb", "mysql"} and types.get(column, UNKNOWN).name in MYSQL_TEXT:
            # Most collations there ignore case, accents and trailing blanks.
            equal += f" AND CAST(CONVERT({written[column]} USING utf8mb4) AS BINARY) = {held(column, value)}"
        return equal

    if types.get(key[0], UNKNOWN).name in MYSQL_BYTES | {"bytea"} and not isinstance(key[1], bytes):
        key = key[0], binary_key(key[1])
    if action == "insert":
        values = {key[0]: key[1], **changes, key[0]: key[1]}
        literals = ", ".join(held(*each) for each in values.items())
        return f"INSERT INTO {table} ({', '.join(written[each] for each in values)}) VALUES ({literals})"  # noqa: S608  what writes each part quotes it
    here = " AND ".join([same(*key), *(same(*each) for each in guard.items())])
    if action == "delete":
        return f"DELETE FROM {table} WHERE {here}"  # noqa: S608
    assigned = ", ".join(f"{written[each]}={held(each, value)}" for each, value in changes.items())
    return f"UPDATE {table} SET {assigned} WHERE {here}"  # noqa: S608
