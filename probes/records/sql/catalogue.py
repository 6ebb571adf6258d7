"""The catalog of a SQL database: tables and views, columns with their types, unique columns."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from probes.contract import CollectionSchema, FieldSchema
from probes.records.sql.column_types import UNKNOWN, Native
from probes.records.sql.dialects.dialect import Dialect
from probes.records.sql.known_types import field_type
from probes.records.sql.names import join_name


def describe(connection: sa.Connection, dialect: Dialect) -> list[CollectionSchema]:
    """Every visible table and view; names outside the default schema include the schema."""
    inspector = sa.inspect(connection)
    default, *others = dialect.schemas(connection, inspector)
    return [
        described
        for schema in (default, *others)
        for described in _of_schema(connection, dialect, inspector, None if schema == default else schema)
    ]


def _of_schema(
    connection: sa.Connection, dialect: Dialect, inspector: sa.Inspector, schema: str | None
) -> list[CollectionSchema]:
    views = inspector.get_view_names(schema=schema)
    collections = []
    for name in sorted({*inspector.get_table_names(schema=schema), *views}):
        sets = _unique_sets(dialect, inspector, name, schema) if name not in views else []
        unique = {columns[0] for columns in sets if len(columns) == 1}
        described = dialect.columns(connection, name, schema)
        named = {column["name"] for column in described}  # an index may be on an expression
        whole = next((tuple(columns) for columns in sets if len(columns) > 1 and named.issuperset(columns)), ())
        natives = dialect.native_types(connection, schema, name)
        fields = tuple(
            FieldSchema(
                name=column["name"],
                type=_canonical(dialect.name, column["type"], natives.get(column["name"], UNKNOWN)),
                described=_described(column["type"], natives.get(column["name"], UNKNOWN)),
                unique=column["name"] in unique,
            )
            for column in described
        )
        collections.append(CollectionSchema(name=join_name(schema, name), fields=fields, key=whole))
    return collections


def leading_columns(connection: sa.Connection, dialect: Dialect, name: str, schema: str | None) -> list[str] | None:
    """The columns that lead an index of a table; None if the login may not see them."""
    inspector = sa.inspect(connection)
    try:
        led = [index["column_names"][0] for index in inspector.get_indexes(name, schema=schema)]
        led += inspector.get_pk_constraint(name, schema=schema)["constrained_columns"][:1]
        led += [unique["column_names"][0] for unique in inspector.get_unique_constraints(name, schema)]
    except DBAPIError as error:
        if not dialect.hides(error):
            raise
        return None
    return [each for each in led if each is not None]


def _unique_sets(dialect: Dialect, inspector: sa.Inspector, table: str, schema: str | None) -> list[list[str]]:
    """Columns that are unique, alone or together; those of the primary key first."""
    try:
        return _constrained(inspector, table, schema)
    except DBAPIError as error:
        if not dialect.hides(error):
            raise
        return []


def _constrained(inspector: sa.Inspector, table: str, schema: str | None) -> list[list[str]]:
    sets: list[list[str]] = [inspector.get_pk_constraint(table, schema=schema)["constrained_columns"]]
    sets += [each["column_names"] for each in inspector.get_unique_constraints(table, schema=schema)]
    for index in inspector.get_indexes(table, schema=schema):
        sets += [[str(name) for name in index["column_names"]]] if index["unique"] else []
    return sets


_CANONICAL: tuple[tuple[type[Any] | tuple[type[Any], ...], str], ...] = (
    (sa.types.Boolean, "boolean"),
    (sa.types.Uuid, "uuid"),
    (sa.types.DateTime, "timestamp"),
    (sa.types.Date, "date"),
    (sa.types.JSON, "json"),
    (sa.types.Integer, "integer"),
    (sa.types.Float, "float"),
    (sa.types.Numeric, "decimal"),
    (sa.types.Enum, "enum"),
)


def _described(type_: Any, native: Native) -> str:
    """A column's type for people; SQLAlchemy calls unknown types null."""
    return native.name if isinstance(type_, sa.types.NullType) and native.name else str(type_).lower()


def _canonical(dialect: str, type_: Any, native: Native) -> str:
    """The canonical type that a column's own type suggests; a guess for people to review."""
    if type(type_).__name__ == "TINYINT" and getattr(type_, "display_width", None) == 1:
        return "boolean"
    if native is not UNKNOWN and (suggested := field_type(dialect, native)) is not None:
        return suggested
    return next((name for kind, name in _CANONICAL if isinstance(type_, kind)), "string")
